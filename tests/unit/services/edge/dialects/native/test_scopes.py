"""Tests which scopes permit each operation.

A connection gets no pushes that the scopes of its token do not let it read.
"""

import json

import pytest

from services.edge.canonical.events import Event, MaintenanceChanged
from services.edge.dialects.base import ConnectionInfo, DecodeError
from services.edge.dialects.native import Native
from services.edge.dialects.native.operations import BY_NAME, OPERATIONS
from services.edge.dialects.registry import DIALECTS
from shared.contract.bots import TokenScope
from shared.contract.ephemeral import ChatRead, Typing
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId, ChatId
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.dialects.driving import rejection
from tests.vectors import load

USERS = {
    "register", "login", "refresh", "verify_mail", "recover", "password", "set_security", "sessions", "end_session",
    "logout", "delete_account", "export", "export_messages", "create_hook", "create_bot", "bots", "delete_bot",
    "create_bot_token", "delete_bot_token", "create_outgoing_hook", "made", "end_made",
    "push_key", "subscribe", "unsubscribe", "subscriptions", "test_push",
}  # fmt: skip
"""Operations that change the account itself, or that give or show a secret."""
ANY = {"hello", "ping", "token"}
FRAMES = {
    vector.frame["op"]: json.dumps(vector.frame).encode()
    for vector in load("native").vectors
    if isinstance(vector.frame, dict) and vector.frame.get("op") in BY_NAME and vector.error is None
}
"""A valid command of each operation."""
INFO = ConnectionInfo(LimitsSettings(rates=False), "http://chat.example")


def bot(*scopes: TokenScope) -> Native:
    dialect = Native(INFO)
    dialect.scopes = frozenset(scopes)
    dialect.logged_in(AccountId(9), 100.0)
    return dialect


def is_permitted(dialect: Native, operation: str) -> bool:
    """Returns whether the token permits the operation. A valid command can be rejected only because of its token."""
    try:
        dialect.decode(FRAMES[operation], 100.0)
    except DecodeError as error:
        return (error.failure.code, error.failure.field) != (ErrorCode.FORBIDDEN, "scope")
    return True


def permitted(*scopes: TokenScope) -> set[str]:
    dialect = bot(*scopes)
    return {name for name in BY_NAME if is_permitted(dialect, name)}


def test_every_operation_has_a_decision() -> None:
    assert {one.name for one in OPERATIONS if one.scopes is None} == USERS
    assert {one.name for one in OPERATIONS if one.scopes == frozenset()} == ANY
    assert all(one.scopes is None or one.scopes <= set(TokenScope) for one in OPERATIONS)


def test_a_token_without_a_scope_permits_next_to_nothing() -> None:
    assert permitted() == ANY


@pytest.mark.parametrize("scope", list(TokenScope))
def test_a_scope_permits_its_operations_alone(scope: TokenScope) -> None:
    needs_it = {one.name for one in OPERATIONS if one.scopes == frozenset({scope})}
    assert needs_it
    assert permitted(scope) == ANY | needs_it
    everything_else = permitted(*(set(TokenScope) - {scope}))
    assert not everything_else & needs_it


def test_all_scopes_permit_no_operation_of_users() -> None:
    assert permitted(*TokenScope) == set(BY_NAME) - USERS


def test_a_token_that_cannot_read_forwards_nothing() -> None:
    assert "forward" not in permitted(TokenScope.SEND)
    assert "forward" in permitted(TokenScope.SEND, TokenScope.READ)


@pytest.mark.parametrize("frame", [b'{"op":"send","id":1,"chat":5,"text":"a","nonce":"n"}', FRAMES["send"]])
def test_the_frequent_command_needs_its_scope(frame: bytes) -> None:
    rejected = rejection(bot(TokenScope.READ), frame, 100.0)
    (reply,) = bot().encode_error(None, rejected.failure, rejected.context)
    assert isinstance(reply, bytes)
    text = "the token lacks the scope send"
    assert json.loads(reply)["error"] == {"code": "forbidden", "text": text, "field": "scope", "reason": "scope"}


@pytest.mark.parametrize("event", [Typing(ChatId(5), AccountId(1), 100), ChatRead(ChatId(5), 3, 0, 0)])
def test_what_may_not_be_read_is_not_pushed(event: Event) -> None:
    sender, reader = bot(TokenScope.SEND), bot(TokenScope.READ)
    assert not sender.receives_pushes
    assert not sender.pushes_pending_requests
    assert sender.encode_event(event, 100.0) == ()
    assert reader.receives_pushes
    assert reader.encode_event(event, 100.0) != ()
    assert sender.encode_event(MaintenanceChanged(True), 100.0) != ()


def test_a_user_after_a_bot_has_all_rights() -> None:
    dialect = bot()
    dialect.scopes = None
    dialect.logged_in(AccountId(1), 100.0)
    assert dialect.receives_pushes
    assert is_permitted(dialect, "export")


def test_no_other_dialect_admits_bots() -> None:
    assert {entry.name for entry in DIALECTS if entry(INFO).limits_scopes} == {"native"}
