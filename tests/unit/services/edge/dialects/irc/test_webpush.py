"""Tests the command WEBPUSH, and the key in the welcome lines."""

import pytest

from services.edge.canonical.commands import Command
from services.edge.canonical.replies import Reply
from shared.contract.errors import ErrorCode, Failure, Reason
from shared.contract.push import GetPushKey, PushKey, Subscribe, Subscribed, Unsubscribe
from shared.contract.routes import Ack
from tests.unit.services.edge.dialects.irc.test_session import IrcConnection, unavailable

ENDPOINT = "https://push.example/x"


def server(command: Command) -> Reply | Failure:
    match command:
        case GetPushKey():
            return PushKey("BKey")
        case Subscribe(endpoint=endpoint):
            gone = Failure(ErrorCode.FORBIDDEN, "you have removed this device", "endpoint", reason=Reason.GONE)
            return Subscribed(1) if endpoint == ENDPOINT else gone
        case Unsubscribe():
            return Ack()
    return unavailable(command)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("WEBPUSH VAPIDPUBKEY", "WEBPUSH VAPIDPUBKEY BKey"),
        (f"WEBPUSH REGISTER {ENDPOINT} p256dh=BP;auth=tB", f"WEBPUSH REGISTER {ENDPOINT}"),
        ("webpush register https://push.example/removed :auth=tB;p256dh=BP", "FAIL WEBPUSH FORBIDDEN REGISTER"),
        (f"WEBPUSH UNREGISTER {ENDPOINT}", f"WEBPUSH UNREGISTER {ENDPOINT}"),
        (f"WEBPUSH REGISTER {ENDPOINT}", "FAIL WEBPUSH INVALID_PARAMS REGISTER"),
        ("WEBPUSH FORGET", "FAIL WEBPUSH INVALID_PARAMS FORGET"),
        ("WEBPUSH", "461"),
    ],
)
def test_each_subcommand_has_its_reply(line: str, expected: str) -> None:
    [written] = IrcConnection(server, "draft/webpush").send(line)
    assert f"{expected} " in f"{written} "


def test_the_device_subscribes_by_itself_with_its_keys() -> None:
    connection = IrcConnection(server, "soju.im/webpush")
    connection.send(f"WEBPUSH REGISTER {ENDPOINT} auth=tB;p256dh=BP")
    (request,) = (one for one in connection.commands if isinstance(one, Subscribe))
    keys = (request.endpoint, request.p256dh, request.auth)
    assert (*keys, request.kind, request.again) == (ENDPOINT, "BP", "tB", "irc", True)
