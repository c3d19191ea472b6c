"""Each operation that writes is repeated after its service was killed. Tests the result."""

import json

from services.edge.canonical.commands import Command, has_effect
from services.edge.dialects.base import ConnectionInfo, Request
from services.edge.dialects.native import Native
from services.edge.dialects.native.operations import BY_NAME
from shared.contract.ids import AccountId
from shared.contract.routes import Forwarded
from shared.settings.limits import LimitsSettings
from tests.vectors import load

UNDER_A_NONCE_OF_THE_MESSAGE = {"send", "forward", "edit"}
SET_A_STATE = {"recall", "react", "unreact", "pin", "unpin", "read", "mark_unread"}
"""Operations that set a state. The message service finds that a repeated one has nothing left to change."""
CARRIED_OUT_ONCE_BY_AUTH = {
    "register", "refresh", "recover", "password", "logout", "end_session", "delete_account", "end_made",
    "create_bot", "delete_bot", "create_bot_token", "delete_bot_token",
}  # fmt: skip
"""Operations that auth carries out once under the nonce of the request. Session does the same for its operations."""


def command_of(operation: str) -> Command | None:
    """Returns the command of a valid frame, or None if the edge replies to the frame without a service."""
    frames = [
        vector.frame
        for vector in load("native").vectors
        if isinstance(vector.frame, dict) and vector.frame.get("op") == operation and vector.error is None
    ]
    dialect = Native(ConnectionInfo(LimitsSettings(rates=False), "http://chat.example"))
    if BY_NAME[operation].needs_login:
        dialect.logged_in(AccountId(12), 100.0)
    decoded = dialect.decode(json.dumps(frames[0]).encode(), 100.0)
    return next((one.command for one in decoded if isinstance(one, Request)), None)


def test_every_writing_operation_has_a_decision() -> None:
    commands = {name: command_of(name) for name in BY_NAME}
    writing = {name for name, one in commands.items() if one is not None and has_effect(one)}
    forwarded = {name for name in writing if isinstance(commands[name], Forwarded)}
    others = (UNDER_A_NONCE_OF_THE_MESSAGE, SET_A_STATE, CARRIED_OUT_ONCE_BY_AUTH)
    assert writing - forwarded == set().union(*others)
    assert sum(map(len, others)) == len(writing - forwarded)


def test_what_makes_something_takes_a_nonce_of_the_client() -> None:
    named = {name for name, one in BY_NAME.items() if "nonce" in one.parameters.__struct_fields__}
    commands = {name: command_of(name) for name in BY_NAME}
    made = {name for name, one in commands.items() if isinstance(one, Forwarded) and hasattr(one, "nonce")}
    assert named == made | {"create_bot", "create_bot_token"} | UNDER_A_NONCE_OF_THE_MESSAGE
