"""Handles WEBPUSH, which registers a device. The device gets lines of IRC as notifications while no client runs."""

from services.edge.dialects.irc.lines import Line
from services.edge.dialects.irc.session import Answer, IrcSession, Lines, rejection
from shared.contract.push import IRC, GetPushKey, PushKey, Subscribe, Subscribed, Unsubscribe
from shared.contract.routes import Ack

CAPABILITY = "draft/webpush"


def learn_key(session: IrcSession, answer: Answer) -> None:
    """Request the key of Web Push, which the welcome shows."""

    def learn(found: PushKey) -> Lines:
        session.push_key = found.key
        return ()

    session.request(GetPushKey(), answer, learn, lambda _: ())


def webpush(session: IrcSession, line: Line, answer: Answer) -> Lines:
    subcommand, rest = line.parameters[0].upper(), line.parameters[1:]

    def done(_: Subscribed | Ack) -> Lines:
        return [session.line("WEBPUSH", subcommand, rest[0])]

    failed = session.failing("WEBPUSH", subcommand)
    match subcommand, rest:
        case "VAPIDPUBKEY", []:
            named = lambda found: [session.line("WEBPUSH", subcommand, found.key)]  # noqa: E731
            session.request(GetPushKey(), answer, named, failed)
        case "REGISTER", [endpoint, keys]:
            values = dict(one.partition("=")[::2] for one in keys.split(";"))
            of_device = endpoint, values.get("p256dh", ""), values.get("auth", "")
            session.request(Subscribe(*of_device, IRC, sid=session.sid, again=True), answer, done, failed)
        case "UNREGISTER", [endpoint]:
            session.request(Unsubscribe(endpoint=endpoint), answer, done, failed)
        case _:
            raise rejection(answer, "", "An endpoint and its keys are expected", subcommand, fail="INVALID_PARAMS")
    return ()
