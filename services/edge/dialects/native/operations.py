"""native: the one table of operations. The decoder, the schemas and the documents are made from it."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from services.edge.dialects.native.account import ACCOUNT_OPERATIONS
from services.edge.dialects.native.bots import BOT_OPERATIONS
from services.edge.dialects.native.chats import CHAT_OPERATIONS
from services.edge.dialects.native.hooks import HOOK_OPERATIONS
from services.edge.dialects.native.members import MEMBER_OPERATIONS
from services.edge.dialects.native.messages import MESSAGE_OPERATIONS
from services.edge.dialects.native.operation import ANY, LOCAL, RATES, AnyOperation, Caller, Operation
from services.edge.dialects.native.own_data import OWN_DATA_OPERATIONS
from services.edge.dialects.native.search import SEARCH
from services.edge.dialects.native.shapes import NoParameters, Parameters
from services.edge.dialects.native.sync import SYNC_OPERATIONS
from services.edge.dialects.native.users import EPHEMERAL_OPERATIONS, USER_OPERATIONS

VERSION = 1


class HelloParameters(Parameters):
    v: Literal[1] = 1


class ServerLimits(msgspec.Struct):
    """`text_bytes`: text of one message as UTF-8; `frame_bytes`: one frame. `rates`: commands each second and at once,
    `all` of a connection and of an account, and those of some operations; there are none if rates are not limited.
    `waiting`: so many commands beyond the rate of all wait for their turn; more end the connection (4029)."""

    text_bytes: int
    frame_bytes: int
    segments: int
    file_bytes: int
    rates: dict[str, tuple[float, int]]
    waiting: int


class HelloResult(msgspec.Struct):
    """`v`: the version of the dialect. `operations`: those that this server has. `time`: of the server. `ping_ms`: it
    pings a WebSocket from which nothing has come for so long."""

    v: int
    server: str
    limits: ServerLimits
    operations: list[str]
    time: int
    ping_ms: int


class PingResult(msgspec.Struct):
    """The time of the server."""

    time: int


def _hello(_: HelloParameters, caller: Caller) -> HelloResult:
    limits = caller.limits
    rates: dict[str, tuple[float, int]] = {"all": (limits.requests_per_second, limits.requests_burst)}
    rates.update((rate.value, found) for rate, found in RATES.items())
    shown = ServerLimits(
        limits.message_text_bytes,
        limits.text_frame_bytes,
        limits.segments_per_message,
        limits.file_bytes,
        rates if limits.rates else {},
        limits.requests_waiting,
    )
    return HelloResult(VERSION, "dragoman", shown, list(BY_NAME), caller.unix_ms(), caller.ping_ms)


OPERATIONS: tuple[AnyOperation, ...] = (
    Operation(
        "hello", "the version, the limits and the operations of the server",
        LOCAL, ANY, HelloParameters, HelloResult, _hello, needs_login=False,
    ),
    Operation(
        "ping", "the time", LOCAL, ANY, NoParameters, PingResult,
        lambda _, caller: PingResult(caller.unix_ms()), needs_login=False,
    ),
    *ACCOUNT_OPERATIONS, *BOT_OPERATIONS, *OWN_DATA_OPERATIONS, *MESSAGE_OPERATIONS, *SYNC_OPERATIONS, SEARCH,
    *EPHEMERAL_OPERATIONS, *USER_OPERATIONS, *CHAT_OPERATIONS, *MEMBER_OPERATIONS, *HOOK_OPERATIONS,
)  # fmt: skip
BY_NAME: Mapping[str, AnyOperation] = {operation.name: operation for operation in OPERATIONS}
