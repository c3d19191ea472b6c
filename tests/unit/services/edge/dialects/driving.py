"""Calls dialects in the way in which a connection does."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import msgspec
import pytest

from services.edge.canonical.commands import RenewToken
from services.edge.canonical.frames import Frame, MediaPayload, Outgoing
from services.edge.canonical.replies import DisplayMessage, MessageAccepted
from services.edge.dialects.base import ConnectionInfo, DecodeError, Dialect, LoadedChat, Push, Request, ServerInfo
from services.edge.dialects.native.decode import CommandId
from services.edge.dialects.native.operations import BY_NAME
from services.edge.dialects.registry import Entry
from shared.contract.auth import Authenticated, Entrance, IdentifierKind, Login
from shared.contract.body import pack_segments
from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, MessageId, Nonce
from shared.contract.model import Message, ProfileSummary, Scheme, Secret, Segment
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.dialects.all_dialects import ALL_DIALECTS
from tests.vectors import (
    ANSWERS,
    EVENTS,
    Given,
    Vector,
    VectorMessage,
    VectorReply,
    VectorRequest,
    canonical,
    load,
    wire,
)

BASE_URL = "http://chat.example:8080"
LONG_AFTER = 1000.0
"""A time so late that nothing is held back any more."""
UNIX_SECONDS = 1724400001
"""The time of the wall clock."""
FILES = {entry.name: load(entry.name) for entry in ALL_DIALECTS}
"""The vectors of each dialect. A vector is a frame as data, beside the value that it stands for."""

ENTRIES = {entry.name: entry for entry in ALL_DIALECTS}
each_dialect = pytest.mark.parametrize("entry", ALL_DIALECTS, ids=lambda entry: entry.name)


SERVER = ServerInfo("0.1.0", ("search",), lambda: Entrance(False, True, True, 8))


def connect(entry: Entry, limits: LimitsSettings | None = None) -> Dialect:
    return entry(
        ConnectionInfo(limits or LimitsSettings(), BASE_URL, unix_ms=lambda: UNIX_SECONDS * 1000, server=SERVER)
    )


def requests_of(dialect: Dialect, frame: Frame, now: float = 0.0) -> list[Request]:
    """Returns the requests in a frame."""
    return [action for action in dialect.decode(frame, now) if isinstance(action, Request)]


def only_request(dialect: Dialect, frame: Frame, now: float = 0.0) -> Request:
    """Returns the request of a frame that contains only this request."""
    (action,) = dialect.decode(frame, now)
    assert isinstance(action, Request)
    return action


def rejection(dialect: Dialect, frame: Frame, now: float = 0.0) -> DecodeError:
    """Returns the error with which the frame is rejected."""
    with pytest.raises(DecodeError) as rejected:
        dialect.decode(frame, now)
    return rejected.value


def display(
    *segments: Segment, sender: int = 12, to: AccountId | None = None, summary: ProfileSummary | None = None
) -> DisplayMessage:
    """Returns a message in the chat 5."""
    message = Message(ChatId(5), 1, MessageId(77), AccountId(sender), 1724400000123, pack_segments(segments), Nonce(1))
    return DisplayMessage(message, segments, summary, to)


def log_in(dialect: Dialect, account: AccountId, now: float = 0.0, chats: tuple[ChatId, ...] = ()) -> None:
    login = Login(kind=IdentifierKind.ID, identifier=str(account), secret=Secret(Scheme.PLAIN, "x"))
    reply = Authenticated(account=account, sid="s", token="t", expires=0, uuid="u", nickname="n")
    dialect.logged_in(account, now)
    context = CommandId(None, operation=BY_NAME["login"]) if dialect.name == "native" else None
    dialect.encode_reply(Request(login, context), reply, now)
    dialect.chats_loaded([LoadedChat(chat) for chat in chats], now)


def given(entry: Entry, state: Given) -> Dialect:
    """Returns a connection in this state."""
    dialect = connect(entry)
    if state.account != NO_ACCOUNT:
        log_in(dialect, state.account)
    for frame in state.before:
        dialect.decode(wire(frame), 0.0)
    return dialect


class VectorCase(NamedTuple):
    """A request of a vector, made by a frame or by the dialect itself.

    `path` leads to a request that follows a reply. It has pairs: the number of the reply, and the number of the request
    after it.
    """

    entry: Entry
    vector: Vector
    number: int
    path: tuple[tuple[int, int], ...] = ()

    @property
    def expected(self) -> VectorRequest:
        request = self.vector.all_requests[self.number]
        for reply, number in self.path:
            request = request.replies[reply].follow_ups[number]
        return request

    @property
    def is_own(self) -> bool:
        """Whether the dialect itself makes this request, and not its client."""
        return self.vector.frame is None or bool(self.path)

    def make(self) -> tuple[Dialect, Request]:
        """Makes the request on a new connection."""
        dialect = given(self.entry, self.vector.given)
        if self.vector.frame is None:
            made = [request for push in pushes_of(dialect, self.vector) for request in push.requests]
        else:
            made = requests_of(dialect, wire(self.vector.frame))
        request, expected = made[self.number], self.vector.all_requests[self.number]
        for reply, number in self.path:
            encoded(dialect, request, expected.replies[reply])
            request = follow_ups(dialect)[number]
            expected = expected.replies[reply].follow_ups[number]
        return dialect, request


def encoded(dialect: Dialect, request: Request, reply: VectorReply) -> tuple[Outgoing, ...]:
    """Returns the frames of a reply."""
    if reply.answer is None:
        assert isinstance(reply.failure, Failure)
        return dialect.encode_error(request, reply.failure)
    if isinstance(request.command, Login | RenewToken) and (login := next(iter(reply.answer.values()))).get("account"):
        dialect.logged_in(AccountId(login["account"]), LONG_AFTER)
    if own := reply.answer.get("MessageAccepted"):
        sent = msgspec.convert(own, VectorMessage)
        accepted = MessageAccepted(sent.message, partial(dialect.encode_message, sent.shown))
        return dialect.encode_reply(request, accepted, LONG_AFTER)
    return dialect.encode_reply(request, canonical(reply.answer, ANSWERS), LONG_AFTER)


def follow_ups(dialect: Dialect) -> list[Request]:
    """Returns the requests that the last reply has caused."""
    actions = [*dialect.follow_ups]
    dialect.follow_ups.clear()
    return [action for action in actions if isinstance(action, Request)]


def pushes_of(dialect: Dialect, vector: Vector) -> tuple[Push, ...]:
    """Returns the pushes for the event, or for the loaded chats, of a vector."""
    if vector.chats is not None:
        return dialect.chats_loaded(vector.loaded_chats, LONG_AFTER)
    assert vector.event is not None
    return dialect.encode_event(canonical(vector.event, EVENTS), LONG_AFTER)


def cases(entry: Entry) -> Iterator[VectorCase]:
    """Yields every request in the dialect's vectors."""
    for vector in FILES[entry.name].vectors:
        for number in range(len(vector.all_requests)):
            yield from _following(VectorCase(entry, vector, number))


def _following(case: VectorCase) -> Iterator[VectorCase]:
    yield case
    for reply, one in enumerate(case.expected.replies):
        for number in range(len(one.follow_ups)):
            yield from _following(case._replace(path=(*case.path, (reply, number))))


def frames(pushes: tuple[Push, ...]) -> tuple[Outgoing, ...]:
    return tuple(frame for push in pushes for frame in push.frames)


def comparable(frame: Outgoing | str) -> Any:
    """Returns a frame in a form that is compared as clients compare: JSON by its values and their types, and else
    text."""
    if isinstance(frame, MediaPayload):
        texts = {"announcement": frame.announcement, "otherwise": frame.fallback}
        parts = {name: _value(text.decode()) for name, text in texts.items()}
        return json.dumps({**parts, "packages": frame.packages, "media": frame.media.id}, sort_keys=True)
    if not isinstance(frame, bytes | str):
        return frame
    value = _value(frame if isinstance(frame, str) else frame.decode())
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _value(text: str) -> Any:
    """Returns the value of the text if it is JSON, and else the text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, str) else value
