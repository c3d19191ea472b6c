"""Drives dialects as a connection does."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from services.edge.canonical.frames import Frame, MediaPayload, Outgoing
from services.edge.dialects.base import ConnectionInfo, Dialect, LoadedChat, Push, Request
from services.edge.dialects.native.decode import CommandId
from services.edge.dialects.native.operations import BY_NAME
from services.edge.dialects.registry import Entry
from shared.contract.auth import Authenticated, IdentifierKind, Login
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Scheme, Secret
from shared.settings import LimitsSettings
from tests.unit.services.edge.dialects.all_dialects import ALL_DIALECTS
from tests.vectors import EVENTS, Given, Vector, VectorRequest, canonical, load, wire

BASE_URL = "http://chat.example:8080"
LONG_AFTER = 1000.0
"""A time at which nothing is held any more."""
UNIX_SECONDS = 1724400001
"""The wall clock."""
FILES = {entry.name: load(entry.name) for entry in ALL_DIALECTS}
"""The vectors of each dialect."""

each_dialect = pytest.mark.parametrize("entry", ALL_DIALECTS, ids=lambda entry: entry.name)


def connect(entry: Entry, limits: LimitsSettings | None = None) -> Dialect:
    return entry(ConnectionInfo(limits or LimitsSettings(), BASE_URL, unix_ms=lambda: UNIX_SECONDS * 1000))


def requests_of(dialect: Dialect, frame: Frame, now: float = 0.0) -> list[Request]:
    """The requests of a frame."""
    return [action for action in dialect.decode(frame, now) if isinstance(action, Request)]


def only_request(dialect: Dialect, frame: Frame, now: float = 0.0) -> Request:
    """The request of a frame that means nothing else."""
    (action,) = dialect.decode(frame, now)
    assert isinstance(action, Request)
    return action


def log_in(dialect: Dialect, account: AccountId, now: float = 0.0, chats: tuple[ChatId, ...] = ()) -> None:
    login = Login(kind=IdentifierKind.ID, identifier=str(account), secret=Secret(Scheme.PLAIN, "x"))
    reply = Authenticated(account=account, sid="s", token="t", expires=0, uuid="u", nickname="n")
    dialect.logged_in(account, now)
    context = CommandId(None, operation=BY_NAME["login"]) if dialect.name == "native" else None
    dialect.encode_reply(Request(login, context), reply, now)
    dialect.chats_loaded([LoadedChat(chat) for chat in chats], now)


def given(entry: Entry, state: Given) -> Dialect:
    """A connection in this state."""
    dialect = connect(entry)
    if state.account != NO_ACCOUNT:
        log_in(dialect, state.account)
    for frame in state.before:
        dialect.decode(wire(frame), 0.0)
    return dialect


class VectorCase(NamedTuple):
    """One request of a vector, of the frame or the dialect's own."""

    entry: Entry
    vector: Vector
    number: int

    @property
    def expected(self) -> VectorRequest:
        return self.vector.all_requests[self.number]

    @property
    def is_own(self) -> bool:
        """Made by the dialect itself, not by its client."""
        return self.vector.frame is None

    def make(self) -> tuple[Dialect, Request]:
        """The request, on a connection of its own."""
        dialect = given(self.entry, self.vector.given)
        if self.is_own:
            made = [request for push in pushes_of(dialect, self.vector) for request in push.requests]
        else:
            made = requests_of(dialect, wire(self.vector.frame))
        return dialect, made[self.number]


def pushes_of(dialect: Dialect, vector: Vector) -> tuple[Push, ...]:
    """The pushes for the event, or for the loaded chats, of a vector."""
    if vector.chats is not None:
        return dialect.chats_loaded(vector.loaded_chats, LONG_AFTER)
    assert vector.event is not None
    return dialect.encode_event(canonical(vector.event, EVENTS), LONG_AFTER)


def cases(entry: Entry) -> Iterator[VectorCase]:
    """Every request in the dialect's vectors."""
    for vector in FILES[entry.name].vectors:
        yield from (VectorCase(entry, vector, number) for number in range(len(vector.all_requests)))


def frames(pushes: tuple[Push, ...]) -> tuple[Outgoing, ...]:
    return tuple(frame for push in pushes for frame in push.frames)


def comparable(frame: Outgoing | str) -> Any:
    """A frame in a form that compares as clients do: JSON by its values and their types, else text."""
    if isinstance(frame, MediaPayload):
        texts = {"announcement": frame.announcement, "otherwise": frame.fallback}
        parts = {name: _value(text.decode()) for name, text in texts.items()}
        return json.dumps({**parts, "packages": frame.packages, "media": frame.media.id}, sort_keys=True)
    if not isinstance(frame, bytes | str):
        return frame
    value = _value(frame if isinstance(frame, str) else frame.decode())
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _value(text: str) -> Any:
    """JSON if it is one, else the text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, str) else value
