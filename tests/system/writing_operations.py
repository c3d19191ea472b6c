"""The operations of native that write. Each has a function that prepares a user who can carry it out."""

import secrets
from collections.abc import Callable
from typing import Any, NamedTuple

from services.edge.dialects.native.operation import RateClass
from services.edge.dialects.native.operations import OPERATIONS
from tests.support.native_http import post
from tests.system.users import NativeUser

Members = dict[str, Any]
_LATER = 2**42
_WRITES_NOTHING = (RateClass.READ, RateClass.LOCAL, RateClass.EPHEMERAL)
_READS = {
    "token", "export", "export_messages", "sync", "search", "reactors", "readers", "unread", "watch", "find",
    "profiles",
}  # fmt: skip
_NOT_REPEATED = {"login", "test_push"}
"""Operations that are not tested here.

A client simply logs in again, and a login whose reply was lost stays in the list of logins. A test notification changes
no row.
"""
_P256DH = "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8"
"""The public key of the receiver in RFC 8291, Appendix A."""


def names() -> set[str]:
    """Returns the names of the operations that write and that must be carried out only once."""
    writing = {operation.name for operation in OPERATIONS if operation.rate not in _WRITES_NOTHING}
    return writing - _READS - _NOT_REPEATED


class PreparedUser:
    """A user with a connection to one edge, who has prepared everything that a command needs."""

    def __init__(self, edge: str, other: Members) -> None:
        self.edge = edge
        self.other = other
        """The members of a command that name another user."""
        self.secret = {"scheme": "plain", "value": _nonce()}
        self.connection = NativeUser(edge)
        registered = self.do("register", nickname="Bot", username=f"u{_nonce()}", secret=self.secret)
        self.account: int = registered["account"]
        self.token: str = registered["token"]

    def do(self, op: str, **members: Any) -> Members:
        reply = self.connection.call(op, **members)
        assert "error" not in reply, (op, reply)
        return reply

    def as_other(self, op: str, **members: Any) -> Members:
        posted = post(self.edge, op, self.other["token"], **members)
        assert posted.status == 200, (op, posted.body)
        return posted.body

    # What commands need

    def group(self, *members: int, **more: Any) -> Members:
        return {"chat": self.do("create", name="g", members=list(members), **more)["chat"]}

    def member(self) -> Members:
        """Returns the parameters that name a member of one of the caller's groups."""
        return {**self.group(self.other["account"]), "account": self.other["account"]}

    def others_group(self, join_policy: str) -> Members:
        return {"chat": self.as_other("create", name="g", join_policy=join_policy)["chat"]}

    def friend(self) -> Members:
        self.do("befriend", account=self.other["account"])
        self.as_other("answer_friend", account=self.account, accept=True)
        return {"account": self.other["account"]}

    def bot(self) -> Members:
        return {"account": self.do("create_bot", nickname="Weather")["account"]}

    def bot_token(self) -> Members:
        bot = self.bot()
        return {**bot, "sid": self.do("create_bot_token", **bot, name="x", scopes=["send"])["sid"]}

    def message(self) -> Members:
        """Returns the parameters that name a message of the caller."""
        chat = self.group(self.other["account"])
        return {**chat, "index": self.do("send", **chat, text="hello", nonce=_nonce())["index"]}

    def received(self) -> Members:
        """Returns the parameters that name a message of another member."""
        chat = self.group(self.other["account"])
        return {**chat, "index": self.as_other("send", **chat, text="hello", nonce=_nonce())["index"]}


class WritingOperation(NamedTuple):
    """An operation that writes. `held_by` are the services that carry it out once, or the kind of its request to the
    message service.

    `ends` says that the operation ends the login, or that there is no login.
    """

    name: str
    held_by: str
    members: Callable[[PreparedUser], Members]
    ends: bool = False

    @property
    def is_named(self) -> bool:
        """Returns whether the client names the command by a nonce."""
        parameters = next(one for one in OPERATIONS if one.name == self.name).parameters
        return "nonce" in parameters.__struct_fields__


def _nonce() -> str:
    return secrets.token_hex(8)


def _registration(caller: PreparedUser) -> Members:
    return {"username": f"u{_nonce()}", "nickname": "Bot", "secret": caller.secret}


def _new_password(caller: PreparedUser) -> Members:
    return {"old": caller.secret, "new": {"scheme": "plain", "value": "another secret"}}


def _recovery(caller: PreparedUser) -> Members:
    caller.do("set_security", question_id=3, answer="Rex")
    secret = {"scheme": "plain", "value": "another secret"}
    return {"identifier": str(caller.account), "question_id": 3, "answer": "Rex", "secret": secret}


def _another_login(caller: PreparedUser, **more: Any) -> Members:
    secret = caller.secret
    return post(caller.edge, "login", identifier=str(caller.account), kind="id", secret=secret, **more).body


def _refresh(caller: PreparedUser) -> Members:
    return {"refresh": _another_login(caller, refreshable=True)["refresh"]}


def _waiting_for_mail(caller: PreparedUser) -> Members:
    """Makes the caller's connection that of another user, whose login waits for a link in a mail."""
    secret, email = caller.secret, f"{_nonce()}@example.org"
    assert post(caller.edge, "register", email=email, nickname="Bot", secret=secret).status == 200
    wrong = {**secret, "value": "wrong"}
    assert post(caller.edge, "login", identifier=email, secret=wrong).status == 401
    caller.connection.connection.close()
    caller.connection = NativeUser(caller.edge)
    assert "verify" in caller.do("login", identifier=email, secret=secret)
    return {}


def _everything_made(caller: PreparedUser) -> Members:
    chat = caller.group()
    caller.do("link", **chat)
    caller.do("create_hook", **chat, name="Grafana")
    caller.bot_token()
    return {}


def _befriending(caller: PreparedUser) -> Members:
    caller.as_other("befriend", account=caller.account)
    return {"account": caller.other["account"], "accept": True}


def _blocked(caller: PreparedUser) -> Members:
    caller.do("block", account=caller.other["account"])
    return {"account": caller.other["account"]}


def _applicant(caller: PreparedUser) -> Members:
    chat = caller.group(join_policy="approval")
    caller.as_other("join", **chat, text="hi")
    return {**chat, "account": caller.other["account"], "accept": True}


def _invited(caller: PreparedUser) -> Members:
    return {**caller.group(), **caller.friend()}


def _link(caller: PreparedUser) -> Members:
    chat = caller.group()
    return {**chat, "link": caller.do("link", **chat)["link"]}


def _others_link(caller: PreparedUser) -> Members:
    return {"link": caller.as_other("link", **caller.others_group("closed"), uses=1)["link"]}


def _webhook(caller: PreparedUser) -> Members:
    chat = caller.group()
    return {**chat, "hook": caller.do("create_hook", **chat, name="Grafana")["hook"]}


def _outgoing(caller: PreparedUser) -> Members:
    return {**caller.group(), "name": "Grafana", "endpoint": "https://a.example/"}


def _outgoing_webhook(caller: PreparedUser) -> Members:
    made = _outgoing(caller)
    return {"chat": made["chat"], "hook": caller.do("create_outgoing_hook", **made)["hook"]}


def _device(_caller: PreparedUser) -> Members:
    endpoint = f"https://push.example/{_nonce()}"
    return {"endpoint": endpoint, "p256dh": _P256DH, "auth": "BTBZMqHH6r4Tts7J_aSIgg", "kind": "unifiedpush"}


def _subscribed(caller: PreparedUser) -> Members:
    return {"subscription": caller.do("subscribe", **_device(caller))["subscription"]}


def _banned(caller: PreparedUser) -> Members:
    member = caller.member()
    caller.do("ban", **member)
    return member


def _leaving(caller: PreparedUser) -> Members:
    return {"chat": caller.as_other("create", name="g", members=[caller.account])["chat"]}


def _reacted(caller: PreparedUser) -> Members:
    message = {**caller.received(), "emoji": "👍"}
    caller.do("react", **message)
    return message


def _pinned(caller: PreparedUser) -> Members:
    message = caller.message()
    caller.do("pin", **message)
    return message


_ONE = WritingOperation
WRITING_OPERATIONS = (
    _ONE("register", "auth", _registration),
    _ONE("refresh", "auth", _refresh),
    _ONE("verify_mail", "auth", _waiting_for_mail, ends=True),
    _ONE("recover", "auth", _recovery, ends=True),
    _ONE("password", "auth", _new_password, ends=True),
    _ONE("set_security", "auth", lambda _: {"question_id": 3, "answer": "Rex"}),
    _ONE("end_session", "auth", lambda caller: {"sid": _another_login(caller)["sid"]}),
    _ONE("logout", "auth", lambda _: {}, ends=True),
    _ONE("delete_account", "auth", lambda caller: {"secret": caller.secret}, ends=True),
    _ONE("create_bot", "auth", lambda _: {"nickname": "Weather"}),
    _ONE("delete_bot", "auth", PreparedUser.bot),
    _ONE("create_bot_token", "auth", lambda caller: {**caller.bot(), "name": "x", "scopes": ["send"]}),
    _ONE("delete_bot_token", "auth", PreparedUser.bot_token),
    _ONE("end_made", "session auth", _everything_made),
    _ONE("send", "post", lambda caller: {**caller.group(caller.other["account"]), "text": "hi"}),
    _ONE("forward", "post", lambda caller: {**caller.received(), "into": [caller.group()["chat"]]}),
    _ONE("edit", "change", lambda caller: {**caller.message(), "text": "hi"}),
    _ONE("recall", "change", PreparedUser.message),
    _ONE("react", "change", lambda caller: {**caller.received(), "emoji": "👍"}),
    _ONE("unreact", "change", _reacted),
    _ONE("pin", "change", PreparedUser.message),
    _ONE("unpin", "change", _pinned),
    _ONE("report", "session", lambda caller: {**caller.received(), "reason": "insults"}),
    _ONE("read", "read", PreparedUser.received),
    _ONE("set_draft", "change", lambda caller: {**caller.group(), "text": "hel"}),
    _ONE("mark_unread", "change", PreparedUser.received),
    _ONE("set_profile", "session", lambda _: {"nickname": "Ann", "signature": "hi"}),
    _ONE("set_settings", "session", lambda _: {"if_rev": 0, "level": "none"}),
    _ONE("unsubscribe", "session", lambda _: {"subscription": 1}),
    _ONE("befriend", "session", lambda caller: {"account": caller.other["account"], "text": "hi"}),
    _ONE("answer_friend", "session", _befriending),
    _ONE("unfriend", "session", PreparedUser.friend),
    _ONE("block", "session", lambda caller: {"account": caller.other["account"]}),
    _ONE("unblock", "session", _blocked),
    _ONE("open", "session", lambda caller: {"account": caller.other["account"]}),
    _ONE("create", "session", lambda caller: {"name": "g", "members": [caller.other["account"]]}),
    _ONE("set_chat", "session", lambda caller: {**caller.group(), "name": "Apples", "topic": "red"}),
    _ONE("mute", "session", lambda caller: {**caller.group(), "until": _LATER}),
    _ONE("set_place", "session", lambda caller: {**caller.group(), "pinned": True}),
    _ONE("join", "session", lambda caller: caller.others_group("open")),
    _ONE("answer_join", "session", _applicant),
    _ONE("invite", "session", _invited),
    _ONE("link", "session", lambda caller: {**caller.group(), "uses": 1}),
    _ONE("unlink", "session", _link),
    _ONE("join_link", "session", _others_link),
    _ONE("create_hook", "session auth", lambda caller: {**caller.group(), "name": "Grafana"}),
    _ONE("delete_hook", "session", _webhook),
    _ONE("create_outgoing_hook", "session", _outgoing),
    _ONE("delete_outgoing_hook", "session", _outgoing_webhook),
    _ONE("replay_outgoing_hook", "session", lambda caller: {**_outgoing_webhook(caller), "index": 1}),
    _ONE("subscribe", "session", _device),
    _ONE("unsubscribe", "session", _subscribed),
    _ONE("leave", "session", _leaving),
    _ONE("kick", "session", PreparedUser.member),
    _ONE("ban", "session", PreparedUser.member),
    _ONE("unban", "session", _banned),
    _ONE("silence", "session", lambda caller: {**caller.member(), "until": _LATER}),
    _ONE("set_modes", "session", lambda caller: {**caller.group(), "changes": [{"on": True, "mode": "s"}]}),
    _ONE("disband", "session", lambda caller: caller.group(caller.other["account"])),
    _ONE("role", "session", lambda caller: {**caller.member(), "role": "admin"}),
    _ONE("transfer", "session", PreparedUser.member),
)
