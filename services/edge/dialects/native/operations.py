"""The dialect native: the table of all operations. The decoder uses this table, and the schemas and the documents are
made from it."""

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.dialects.native.account import ACCOUNT_OPERATIONS
from services.edge.dialects.native.bots_and_webhooks import BOT_OPERATIONS, WEBHOOK_OPERATIONS
from services.edge.dialects.native.chats import CHAT_OPERATIONS
from services.edge.dialects.native.members import MEMBER_OPERATIONS
from services.edge.dialects.native.messages import MESSAGE_OPERATIONS, SEARCH
from services.edge.dialects.native.operation import ANY, LOCAL, RATES, AnyOperation, Caller, Operation
from services.edge.dialects.native.own_chats import OWN_CHAT_OPERATIONS
from services.edge.dialects.native.own_data import OWN_DATA_OPERATIONS
from services.edge.dialects.native.own_settings import OWN_SETTINGS_OPERATIONS
from services.edge.dialects.native.push import PUSH_OPERATIONS
from services.edge.dialects.native.shapes import NoParameters, Parameters
from services.edge.dialects.native.sync import SYNC_OPERATIONS
from services.edge.dialects.native.users import EPHEMERAL_OPERATIONS, USER_OPERATIONS
from shared.contract.auth import Entrance

VERSION = 1


class HelloParameters(Parameters):
    v: Literal[1] = 1


class ServerLimits(msgspec.Struct):
    """The limits of the server. `text_bytes`: the most bytes of a message's text in UTF-8. `frame_bytes`: the most
    bytes of a frame. `rates`: for each kind, the commands each second, and the largest burst. `all` limits a connection
    and an account, and the other kinds limit some operations. If rates are not limited, `rates` is empty.
    `nickname_characters` and similar members limit these names and texts. `members_per_group`: the limit for all groups
    except the lobby. `waiting`: how many commands over the rate may wait. One more command closes the connection
    (4029)."""

    text_bytes: int
    frame_bytes: int
    segments: int
    file_bytes: int
    rates: dict[str, tuple[float, int]]
    waiting: int
    nickname_characters: int
    group_name_characters: int
    topic_characters: int
    members_per_group: int


class EntranceInfo(msgspec.Struct):
    """`registration`: `open`, or `verified` if the reply waits until a mailed link is opened. `recovery`: how `recover`
    can set a new password, which is by a question or by mail. `secret_min`: the fewest characters of a new plain
    password."""

    registration: str
    recovery: list[str]
    secret_min: int


class HelloResult(msgspec.Struct):
    """`v`: the version of the dialect. `build`: the build of the server. `web`: the build of the web client that the
    server offers. `features`: the parts of `search` that this installation has. `entrance`: how users register and
    recover passwords, if that is known. `operations`: the operations that this server has. `time`: the time of the
    server. `ping_ms`: the time without a frame after which the server pings a WebSocket."""

    v: int
    server: str
    limits: ServerLimits
    operations: list[str]
    time: int
    ping_ms: int
    build: str
    features: list[str]
    entrance: EntranceInfo | UnsetType = UNSET
    web: str = ""


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
        limits.nickname_characters,
        limits.group_name_characters,
        limits.topic_characters,
        limits.members_per_group,
    )
    server, times = caller.server, (caller.unix_ms(), caller.ping_ms)
    entrance = _entrance(server.entrance())
    features, web = [*server.features], server.web_build()
    return HelloResult(VERSION, "dragoman", shown, list(BY_NAME), *times, server.build, features, entrance, web)


def _entrance(known: Entrance | None) -> EntranceInfo | UnsetType:
    if known is None:
        return UNSET
    ways = {"question": known.by_question, "mail": known.by_mail}
    registration = "verified" if known.verified else "open"
    return EntranceInfo(registration, [way for way, is_open in ways.items() if is_open], known.secret_min)


OPERATIONS: tuple[AnyOperation, ...] = (
    Operation(
        "hello", "get the server's version, limits and operations",
        LOCAL, ANY, HelloParameters, HelloResult, _hello, needs_login=False,
    ),
    Operation(
        "ping", "the time", LOCAL, ANY, NoParameters, PingResult,
        lambda _, caller: PingResult(caller.unix_ms()), needs_login=False,
    ),
    *ACCOUNT_OPERATIONS, *BOT_OPERATIONS, *OWN_DATA_OPERATIONS, *OWN_SETTINGS_OPERATIONS, *MESSAGE_OPERATIONS,
    *OWN_CHAT_OPERATIONS, *SYNC_OPERATIONS, SEARCH, *EPHEMERAL_OPERATIONS, *USER_OPERATIONS, *CHAT_OPERATIONS,
    *MEMBER_OPERATIONS, *WEBHOOK_OPERATIONS, *PUSH_OPERATIONS,
)  # fmt: skip
BY_NAME: Mapping[str, AnyOperation] = {operation.name: operation for operation in OPERATIONS}
