"""The dialect native: the operations of bots and their tokens, and of incoming and outgoing webhooks."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.dialects import validation
from services.edge.dialects.native.account import unix_ms_of
from services.edge.dialects.native.operation import ENTRANCE, MANAGES, READ, USERS, WRITE, Caller, Operation
from services.edge.dialects.native.shapes import (
    AccountParameters,
    ChatParameters,
    KeyText,
    Label,
    Nickname,
    Nonce,
    NoParameters,
    Nothing,
    Number,
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
from shared.contract.webhooks import (
    CreateIncomingWebhook,
    CreateOutgoingWebhook,
    DeleteIncomingWebhook,
    DeleteOutgoingWebhook,
    ListIncomingWebhooks,
    ListOutgoingWebhooks,
    ReplayOutgoingWebhook,
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
        ENTRANCE, USERS, CreateBotTokenParameters, CreateBotTokenResult,
        lambda wire, _: CreateBotToken(wire.account, wire.name, [*wire.scopes], wire.days, nonce=wire.nonce or ""),
        _created_token,
    ),
    Operation(
        "delete_bot_token", "revoke a token; its connections end",
        WRITE, USERS, DeleteBotTokenParameters, Nothing, lambda wire, _: DeleteBotToken(wire.account, wire.sid),
    ),
)  # fmt: skip


class CreateHookParameters(ChatParameters, kw_only=True):
    """`name`: the name that the webhook's messages show as their sender. `nonce`: see `create`."""

    name: Label
    nonce: Nonce | None = None


class DeleteHookParameters(ChatParameters, kw_only=True):
    hook: KeyText


class CreateHookResult(SparseResult):
    """`secret`: any program that has the secret can post by `POST /hooks/SECRET`. No later reply shows the secret.
    `hook`: the webhook's name, which is no secret. `account`: the sender of its messages."""

    hook: str
    secret: str
    account: int | UnsetType = UNSET


class HookInfo(SparseResult):
    """`by`: the account that made the webhook. The webhook posts with the permissions of this account. `account`: the
    sender of its messages. `created`: Unix milliseconds. `paused`: whether the webhook cannot post at present, because
    `by` may not manage the group, or an operator has disabled `account`."""

    hook: str
    name: str
    by: int
    created: int
    paused: bool | UnsetType = UNSET
    account: int | UnsetType = UNSET


class HooksResult(msgspec.Struct):
    """The incoming webhooks of the group, oldest first."""

    hooks: list[HookInfo]


class CreateOutgoingHookParameters(CreateHookParameters, kw_only=True):
    """`endpoint`: the URL of the program that receives messages. `name`: a name that is shown to admins. `nonce`: see
    `create`."""

    endpoint: Annotated[str, msgspec.Meta(min_length=1, examples=["https://example.org/messages"])]


class ReplayOutgoingHookParameters(DeleteHookParameters, kw_only=True):
    """`index`: the first message to post again."""

    index: Number


class CreateOutgoingHookResult(msgspec.Struct):
    """`secret`: the key that signs the requests to the endpoint. No later reply shows it. `hook`: the webhook's name,
    which is no secret. `next`: the index of the first message to post."""

    hook: str
    secret: str
    next: int


class OutgoingHookInfo(SparseResult):
    """`by`: the account that made the webhook. `origin`: the scheme, host and port of the endpoint, whose path is not
    shown. `created`: Unix milliseconds. `next`: the index of the next message to post. `state`: active, failing (with
    further attempts) or stopped (until a replay). `last_error`: the reason why the last attempt failed, if it did.
    `paused`: whether the webhook does not post at present, because `by` may not manage the group."""

    hook: str
    name: str
    by: int
    origin: str
    created: int
    next: int
    state: str
    error: str | UnsetType = msgspec.field(name="last_error", default=UNSET)
    paused: bool | UnsetType = UNSET


class OutgoingHooksResult(msgspec.Struct):
    """The outgoing webhooks of the group, oldest first."""

    hooks: list[OutgoingHookInfo]


class ReplayOutgoingHookResult(msgspec.Struct):
    """`next`: the index of the next message to post."""

    next: int


WEBHOOK_OPERATIONS = (
    Operation(
        "create_hook", "create an address by which programs post to a group",
        WRITE, USERS, CreateHookParameters, CreateHookResult,
        lambda wire, _: CreateIncomingWebhook(wire.chat, wire.name, nonce=wire.nonce or ""),
    ),
    Operation(
        "hooks", "list the incoming webhooks of a group",
        READ, MANAGES, ChatParameters, HooksResult, lambda wire, _: ListIncomingWebhooks(wire.chat),
    ),
    Operation(
        "delete_hook", "delete an incoming webhook",
        WRITE, MANAGES, DeleteHookParameters, Nothing, lambda wire, _: DeleteIncomingWebhook(wire.chat, wire.hook),
    ),
    Operation(
        "create_outgoing_hook", "post a group's messages to a URL",
        WRITE, USERS, CreateOutgoingHookParameters, CreateOutgoingHookResult,
        lambda wire, _: CreateOutgoingWebhook(wire.chat, wire.name, wire.endpoint, nonce=wire.nonce or ""),
    ),
    Operation(
        "outgoing_hooks", "list the outgoing webhooks of a group",
        READ, MANAGES, ChatParameters, OutgoingHooksResult, lambda wire, _: ListOutgoingWebhooks(wire.chat),
    ),
    Operation(
        "delete_outgoing_hook", "delete an outgoing webhook",
        WRITE, MANAGES, DeleteHookParameters, Nothing, lambda wire, _: DeleteOutgoingWebhook(wire.chat, wire.hook),
    ),
    Operation(
        "replay_outgoing_hook", "post the messages from an index on, also again; a stopped webhook goes on",
        WRITE, MANAGES, ReplayOutgoingHookParameters, ReplayOutgoingHookResult,
        lambda wire, _: ReplayOutgoingWebhook(wire.chat, wire.hook, wire.index),
    ),
)  # fmt: skip
