"""The requests about bots, which are accounts of programs, and about bots' tokens. The auth service answers them."""

from enum import StrEnum

import msgspec

from shared.contract.auth import Origin
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Confidential
from shared.contract.routes import Ack, Routed


class TokenScope(StrEnum):
    """A permission of a bot's token."""

    SEND = "send"
    READ = "read"
    REACT = "react"
    MANAGE = "manage"


class CreatedBot(msgspec.Struct, frozen=True):
    """A created bot, from which the session service makes the profile. `created`: Unix milliseconds."""

    account: AccountId
    uuid: str
    nickname: str
    created: int


class CreateWebhookAccount(msgspec.Struct):
    """Makes the account of an incoming webhook: a bot without a login. The session service sends this request.
    `signature`: the signature in the profile, which names the maker. Errors: `rate_limited`, `invalid` for the name."""

    route = Routed("auth.create_hook_account", CreatedBot)
    name: str
    signature: str
    maker: AccountId


class CreateBot(msgspec.Struct):
    """Makes a bot of the account `actor`. `nonce`: see CreateLink. Errors: `limit` for too many bots, `forbidden` if
    the owner is a bot, `rate_limited` as for a registration."""

    route = Routed("auth.create_bot", CreatedBot)
    nickname: str
    actor: AccountId = NO_ACCOUNT
    origin: Origin = Origin()
    nonce: str = ""


class BotTokenView(msgspec.Struct, frozen=True):
    """`sid` names the token, and is no secret. `created`: Unix milliseconds. `expires`: Unix seconds."""

    sid: str
    name: str
    scopes: list[str]
    created: int
    expires: int


class BotView(msgspec.Struct, frozen=True):
    """`owner`: NO_ACCOUNT if an operator made the bot. `nickname`: the first nickname; the profile may have another."""

    account: AccountId
    owner: AccountId
    nickname: str
    created: int
    tokens: list[BotTokenView]


class BotList(msgspec.Struct, frozen=True):
    """A page of bots, in order of their numbers."""

    bots: list[BotView]
    more: bool = False


class ListBots(msgspec.Struct):
    """A request for the bots of an account above `after`. An operator's request lists the bots of all accounts."""

    route = Routed("auth.list_bots", BotList, reads=True)
    actor: AccountId = NO_ACCOUNT
    after: AccountId = NO_ACCOUNT


class DeleteBot(msgspec.Struct):
    """Deletes a bot of the account `actor`, in the same way as an account. Error: `not_found` for any other bot."""

    route = Routed("auth.delete_bot", Ack)
    bot: AccountId
    actor: AccountId = NO_ACCOUNT


class CreatedBotToken(Confidential, msgspec.Struct, frozen=True):
    """`token` is not stored; a repeated request signs it again. `expires`: Unix seconds."""

    sid: str
    token: str
    expires: int


class CreateBotToken(msgspec.Struct):
    """Makes a token of a bot. `days`: how many days the token is valid, at most `auth.bot_token_days`; 0 for the
    maximum. `nonce`: see CreateLink. Errors: `not_found` for a bot of another owner, `limit` for too many tokens,
    `invalid`."""

    route = Routed("auth.create_bot_token", CreatedBotToken)
    bot: AccountId
    name: str
    scopes: list[str]
    days: int = 0
    actor: AccountId = NO_ACCOUNT
    nonce: str = ""


class DeleteBotToken(msgspec.Struct):
    """Revokes a token, which ends its connections. Error: `not_found` for a token that is not the bot's own."""

    route = Routed("auth.delete_bot_token", Ack)
    bot: AccountId
    sid: str
    actor: AccountId = NO_ACCOUNT
