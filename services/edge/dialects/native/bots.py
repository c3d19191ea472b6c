"""The dialect native: the operations of bots and their tokens."""

from typing import Annotated, Literal

import msgspec

from services.edge.dialects import validation
from services.edge.dialects.native.account import unix_ms_of
from services.edge.dialects.native.operation import ENTRANCE, READ, USERS, WRITE, Caller, Operation
from services.edge.dialects.native.shapes import (
    AccountParameters,
    KeyText,
    Label,
    Nickname,
    Nonce,
    NoParameters,
    Nothing,
    Parameters,
    SparseResult,
)
from shared.contract.bots import (
    BotList,
    BotView,
    CreateBot,
    CreateBotToken,
    CreatedBotToken,
    DeleteBot,
    DeleteBotToken,
    ListBots,
)


class CreateBotParameters(Parameters, kw_only=True):
    """`nonce`: see `create`."""

    nickname: Nickname
    nonce: Nonce | None = None


class CreateBotResult(SparseResult):
    account: int
    uuid: str


class BotTokenInfo(msgspec.Struct):
    """A valid token of a bot. `created` and `expires` are Unix milliseconds."""

    sid: str
    name: str
    scopes: list[str]
    created: int
    expires: int


class BotInfo(msgspec.Struct):
    """`nickname`: the bot's nickname when it was created. `profile` returns the present one. `created`: Unix
    milliseconds."""

    account: int
    nickname: str
    created: int
    tokens: list[BotTokenInfo]


class BotsResult(msgspec.Struct):
    """The bots of the account, sorted by number."""

    bots: list[BotInfo]


class CreateBotTokenParameters(AccountParameters, kw_only=True):
    """`name`: the name that the list of tokens shows. `days`: how long the token is valid. Without it, the token is
    valid as long as the server permits. `nonce`: see `create`."""

    name: Label
    scopes: Annotated[list[Literal["send", "read", "react", "manage"]], msgspec.Meta(min_length=1, max_length=4)]
    days: Annotated[int, msgspec.Meta(ge=0, le=36_500, examples=[90])] = 0
    nonce: Nonce | None = None


class CreateBotTokenResult(msgspec.Struct):
    """`token`: the token, which no later reply shows. `sid`: the token's name, which is no secret. `expires`: Unix
    milliseconds."""

    sid: str
    token: str
    expires: int


class DeleteBotTokenParameters(AccountParameters, kw_only=True):
    sid: KeyText


def bots(listed: list[BotView]) -> list[BotInfo]:
    return [
        BotInfo(
            bot.account,
            bot.nickname,
            bot.created,
            [BotTokenInfo(one.sid, one.name, one.scopes, one.created, unix_ms_of(one.expires)) for one in bot.tokens],
        )
        for bot in listed
    ]


def _bots(reply: BotList, _: Caller) -> BotsResult:
    return BotsResult(bots(reply.bots))


def _create_token(wire: CreateBotTokenParameters, _: Caller) -> CreateBotToken:
    return CreateBotToken(wire.account, wire.name, [*wire.scopes], wire.days, nonce=wire.nonce or "")


def _created_token(reply: CreatedBotToken, _: Caller) -> CreateBotTokenResult:
    return CreateBotTokenResult(reply.sid, reply.token, unix_ms_of(reply.expires))


BOT_OPERATIONS = (
    Operation(
        "create_bot", "create an account of a program; it logs in by tokens alone",
        ENTRANCE, USERS, CreateBotParameters, CreateBotResult,
        lambda wire, caller: CreateBot(validation.nickname(wire.nickname, caller.limits), nonce=wire.nonce or ""),
    ),
    Operation(
        "bots", "list the account's bots and their tokens",
        READ, USERS, NoParameters, BotsResult, lambda *_: ListBots(), _bots,
    ),
    Operation(
        "delete_bot", "delete an own bot as an account; its connections end",
        ENTRANCE, USERS, AccountParameters, Nothing, lambda wire, _: DeleteBot(wire.account),
    ),
    Operation(
        "create_bot_token", "create a token for a bot, with which the bot logs in or sends requests by HTTP",
        ENTRANCE, USERS, CreateBotTokenParameters, CreateBotTokenResult, _create_token, _created_token,
    ),
    Operation(
        "delete_bot_token", "revoke a token; its connections end",
        WRITE, USERS, DeleteBotTokenParameters, Nothing, lambda wire, _: DeleteBotToken(wire.account, wire.sid),
    ),
)  # fmt: skip
