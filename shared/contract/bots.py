"""Requests to auth: bots, which are accounts of programs, and their tokens."""

from enum import StrEnum

import msgspec

from shared.contract.auth import Origin
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.routes import Ack, Routed


class TokenScope(StrEnum):
    """What the token of a bot permits."""

    SEND = "send"
    READ = "read"
    REACT = "react"
    MANAGE = "manage"


class CreatedBot(msgspec.Struct, frozen=True):
    """`created`: Unix milliseconds. Session creates the profile from it."""

    account: AccountId
    uuid: str
    nickname: str
    created: int


class CreateHookAccount(msgspec.Struct):
    """Makes the account by which an incoming webhook posts: a bot that nobody logs in to. Requested by session.
    `signature`: of its profile, which names the maker. Errors: `rate_limited`, `invalid` for a name."""

    route = Routed("auth.create_hook_account", CreatedBot)

    name: str
    signature: str
    maker: AccountId


class CreateBot(msgspec.Struct):
    """Makes a bot of the account `actor`. `nonce` as in CreateLink. Errors: `limit` for too many bots, `forbidden` for
    a bot as its owner, `rate_limited` as a registration."""

    route = Routed("auth.create_bot", CreatedBot)

    nickname: str
    actor: AccountId = NO_ACCOUNT
    origin: Origin = Origin()
    nonce: str = ""


class BotTokenView(msgspec.Struct, frozen=True):
    """`sid` names the token, and is no secret. `created`: Unix milliseconds; `expires`: Unix seconds."""

    sid: str
    name: str
    scopes: list[str]
    created: int
    expires: int


class BotView(msgspec.Struct, frozen=True):
    """`owner`: NO_ACCOUNT if an operator made it. `nickname`: the first one; the profile may have another."""

    account: AccountId
    owner: AccountId
    nickname: str
    created: int
    tokens: list[BotTokenView]


class BotList(msgspec.Struct, frozen=True):
    """By number."""

    bots: list[BotView]
    more: bool = False


class ListBots(msgspec.Struct):
    """The bots of an account above `after`; an operator's request lists those of all accounts."""

    route = Routed("auth.list_bots", BotList, reads=True)

    actor: AccountId = NO_ACCOUNT
    after: AccountId = NO_ACCOUNT


class DeleteBot(msgspec.Struct):
    """Deletes a bot of the account `actor` (`not_found` for any other), as an account is deleted."""

    route = Routed("auth.delete_bot", Ack)

    bot: AccountId
    actor: AccountId = NO_ACCOUNT


class CreatedBotToken(msgspec.Struct, frozen=True):
    """`token`: stored nowhere; a repetition gets it signed again. `expires`: Unix seconds."""

    sid: str
    token: str
    expires: int

    def __repr__(self) -> str:
        return f"CreatedBotToken({self.sid!r}, ***)"


class CreateBotToken(msgspec.Struct):
    """Makes a token of a bot. `days` 0: as long as `auth.bot_token_days` permits; more are as many. `nonce` as in
    CreateLink. Errors: `not_found` for a bot of another owner, `limit` for too many tokens, `invalid`."""

    route = Routed("auth.create_bot_token", CreatedBotToken)

    bot: AccountId
    name: str
    scopes: list[str]
    days: int = 0
    actor: AccountId = NO_ACCOUNT
    nonce: str = ""


class DeleteBotToken(msgspec.Struct):
    """Revokes a token, which ends its connections. `not_found` for any other than a bot's own."""

    route = Routed("auth.delete_bot_token", Ack)

    bot: AccountId
    sid: str
    actor: AccountId = NO_ACCOUNT
