"""native, both directions: `create_bot`, `bots`, `delete_bot`, `create_bot_token`, `delete_bot_token`."""

from typing import Annotated, Literal

import msgspec

from services.edge.dialects import validation
from services.edge.dialects.native import results
from services.edge.dialects.native.parameters import AccountParameters, KeyText, Label, Nickname, Nonce, Parameters
from services.edge.dialects.native.requests import Caller
from shared.contract.bots import (
    BotList,
    BotTokenView,
    BotView,
    CreateBot,
    CreateBotToken,
    CreatedBot,
    CreatedBotToken,
    DeleteBot,
    DeleteBotToken,
)
from shared.contract.ids import AccountId

ScopeName = Literal["send", "read", "react", "manage"]


class CreateBotParameters(Parameters, kw_only=True):
    """`nonce` as in `create`."""

    nickname: Nickname
    nonce: Nonce | None = None


class CreateBotTokenParameters(AccountParameters, kw_only=True):
    """`name`: for the list. `days`: its life; without it, as long as the server permits. `nonce` as in `create`."""

    name: Label
    scopes: Annotated[list[ScopeName], msgspec.Meta(min_length=1, max_length=4)]
    days: Annotated[int, msgspec.Meta(ge=0, le=36_500, examples=[90])] = 0
    nonce: Nonce | None = None


class DeleteBotTokenParameters(AccountParameters, kw_only=True):
    sid: KeyText


class CreateBotResult(msgspec.Struct):
    account: int
    uuid: str


class CreateBotTokenResult(msgspec.Struct):
    """`token`: it is shown by this reply alone. `sid`: names it, no secret. `expires`: Unix milliseconds."""

    sid: str
    token: str
    expires: int


class BotTokenInfo(msgspec.Struct):
    """`created`, `expires`: Unix milliseconds."""

    sid: str
    name: str
    scopes: list[str]
    created: int
    expires: int


class BotInfo(msgspec.Struct):
    """`nickname`: the first one; see `profile`. `created`: Unix milliseconds."""

    account: int
    nickname: str
    created: int
    tokens: list[BotTokenInfo]


class BotsResult(msgspec.Struct):
    """By number."""

    bots: list[BotInfo]


def create_bot(wire: CreateBotParameters, caller: Caller) -> CreateBot:
    return CreateBot(validation.nickname(wire.nickname, caller.limits), nonce=wire.nonce or "")


def delete_bot(wire: AccountParameters, caller: Caller) -> DeleteBot:
    return DeleteBot(AccountId(wire.account))


def create_bot_token(wire: CreateBotTokenParameters, caller: Caller) -> CreateBotToken:
    return CreateBotToken(AccountId(wire.account), wire.name, [*wire.scopes], wire.days, nonce=wire.nonce or "")


def delete_bot_token(wire: DeleteBotTokenParameters, caller: Caller) -> DeleteBotToken:
    return DeleteBotToken(AccountId(wire.account), wire.sid)


def result(reply: CreatedBot | BotList | CreatedBotToken) -> msgspec.Struct:
    match reply:
        case CreatedBot(account, uuid):
            return CreateBotResult(account, uuid)
        case BotList(bots):
            return BotsResult(infos(bots))
        case CreatedBotToken(sid, token, expires):
            return CreateBotTokenResult(sid, token, results.unix_ms_of(expires))


def infos(bots: list[BotView]) -> list[BotInfo]:
    return [BotInfo(one.account, one.nickname, one.created, [*map(_token_info, one.tokens)]) for one in bots]


def _token_info(one: BotTokenView) -> BotTokenInfo:
    return BotTokenInfo(one.sid, one.name, one.scopes, one.created, results.unix_ms_of(one.expires))
