"""Dialects driven as a connection drives them."""

import json
from typing import Any

import pytest

from services.edge.canonical.frames import Frame, MediaPayload, Outgoing
from services.edge.dialects.base import ConnectionInfo, Dialect, LoadedChat, Push, Request
from services.edge.dialects.registry import Entry
from shared.contract.auth import Authenticated, IdentifierKind, Login
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Scheme, Secret
from shared.settings import Limits
from tests.unit.services.edge.dialects.spoken import SPOKEN
from tests.vectors import Given, load, wire

BASE_URL = "http://chat.example:8080"
LONG_AFTER = 1000.0
"""A time at which nothing is held back any more."""
UNIX_SECONDS = 1724400001
"""What time it is on the wall."""
FILES = {entry.name: load(entry.name) for entry in SPOKEN}
"""The vectors of every dialect."""

each_dialect = pytest.mark.parametrize("entry", SPOKEN, ids=lambda entry: entry.name)


def connect(entry: Entry, limits: Limits | None = None) -> Dialect:
    dialect = entry(ConnectionInfo(limits or Limits(), BASE_URL))
    dialect.unix_seconds = UNIX_SECONDS
    return dialect


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
    answer = Authenticated(account=account, sid="s", token="t", expires=0, uuid="u", nickname="n")
    dialect.logged_in(account, now)
    dialect.encode_reply(Request(login), answer, now)
    dialect.chats_loaded([LoadedChat(chat) for chat in chats], now)


def given(entry: Entry, state: Given) -> Dialect:
    """A connection in this state."""
    dialect = connect(entry)
    if state.account != NO_ACCOUNT:
        log_in(dialect, state.account)
    for frame in state.before:
        dialect.decode(wire(frame), 0.0)
    return dialect


def frames(pushes: tuple[Push, ...]) -> tuple[Outgoing, ...]:
    return tuple(frame for push in pushes for frame in push.frames)


def seen(frame: Outgoing | str) -> Any:
    """A frame in a form that compares as clients do: JSON by its values and their types, else text."""
    if isinstance(frame, MediaPayload):
        told = {"announcement": frame.announcement, "otherwise": frame.fallback}
        parts = {name: json.loads(text) for name, text in told.items()}
        return json.dumps({**parts, "packages": frame.packages, "media": frame.media.id}, sort_keys=True)
    if not isinstance(frame, bytes | str):
        return frame
    text = frame if isinstance(frame, str) else frame.decode()
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        return text
