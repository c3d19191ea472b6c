"""The dialect native: the operations on everything that an account has made, and on all its stored data."""

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.canonical.commands import ExportAccount, ExportMessages
from services.edge.canonical.replies import AccountExported, AccountMade, MessagesExported
from services.edge.dialects.native import encode
from services.edge.dialects.native.account import SessionInfo, sessions
from services.edge.dialects.native.bots_and_webhooks import BotInfo, bots
from services.edge.dialects.native.messages import ReportInfo
from services.edge.dialects.native.operation import EXPENSIVE, READ, USERS, WRITE, Caller, Operation
from services.edge.dialects.native.own_chats import DraftInfo, saved_draft
from services.edge.dialects.native.own_settings import SettingsResult, settings
from services.edge.dialects.native.push import SubscriptionInfo, subscriptions
from services.edge.dialects.native.shapes import (
    Chat,
    NextAfter,
    NoParameters,
    Nothing,
    Parameters,
    SparseResult,
    next_after,
)
from services.edge.dialects.native.users import ProfileResult, RequestsResult, profile, requests
from shared.contract.made import EndMade, ListMade
from shared.message_event import ShownMessage


class MadeHookInfo(SparseResult):
    """A webhook. `origin`: the scheme, host and port of the endpoint of an outgoing webhook. An incoming webhook has no
    origin. `created`: Unix milliseconds."""

    hook: str
    chat: int
    name: str
    created: int
    origin: str | UnsetType = UNSET


class MadeLinkInfo(SparseResult):
    """A link to a group. `uses` and `expires` are as in the reply to `link`. `created`: Unix milliseconds."""

    link: str
    chat: int
    created: int
    uses: int | UnsetType = UNSET
    expires: int | UnsetType = UNSET


class _WebhooksAndLinks(SparseResult):
    """The members that two results have in common."""

    hooks: list[MadeHookInfo]
    links: list[MadeLinkInfo]


class MadeResult(_WebhooksAndLinks):
    """The webhooks, links and bots that the account has made. `hooks` and `links` are sorted newest first, at most
    1,000 of each. `bots`: the bots, each with its valid tokens."""

    bots: list[BotInfo]


class ExportResult(msgspec.Struct):
    """`exported` and `created` are Unix milliseconds. `question_id`: the security question, or 0. `email_verified`:
    whether a mail to the address has reached the user. `blocks` and `friends` are accounts. `chats`: the chats of which
    the account is a member. `chat` returns the data of each. `left_chats`: the newest 10,000 chats that it has left.
    `export_messages` returns the account's own messages in all these chats. `reports`: the reports that the operator
    has not closed. `hooks`, `links`: the webhooks and links that the account has made. `settings`: the account's
    settings. `subscriptions`: its devices that are notified. `metadata`: its texts on IRC."""

    account: int
    email: str
    email_verified: bool
    username: str
    created: int
    question_id: int
    exported: int
    profile: ProfileResult
    friends: list[int]
    requests: RequestsResult
    blocks: list[int]
    chats: list[int]
    left_chats: list[int]
    sessions: list[SessionInfo]
    bots: list[BotInfo]
    reports: list[ReportInfo]
    hooks: list[MadeHookInfo]
    links: list[MadeLinkInfo]
    settings: SettingsResult
    subscriptions: list[SubscriptionInfo]
    metadata: dict[str, str]


class ExportMessagesParameters(Parameters, kw_only=True):
    """`after`: the `after` of the previous page."""

    chat: Chat
    after: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 2, examples=[40])] = 0


class ExportMessagesResult(msgspec.Struct):
    """The account's own messages among the next 200 messages of the chat. There may be none. `draft`: a text that the
    account has not sent yet. Only the first page has it."""

    messages: list[ShownMessage]
    after: int
    more: bool
    draft: DraftInfo | UnsetType = UNSET
    next: NextAfter | UnsetType = UNSET


def _made(reply: AccountMade, _: Caller) -> MadeResult:
    made = msgspec.convert(reply.made, _WebhooksAndLinks, from_attributes=True)
    return MadeResult(made.hooks, made.links, bots([*reply.bots]))


def _exported(reply: AccountExported, caller: Caller) -> ExportResult:
    record, view = reply.record, reply.view
    made = msgspec.convert(reply.made, _WebhooksAndLinks, from_attributes=True)
    return ExportResult(
        account=view.profile.id,
        email=record.email,
        email_verified=record.email_verified,
        username=record.username,
        created=record.created,
        question_id=record.question_id,
        exported=reply.exported,
        profile=profile(view.profile, caller),
        friends=[*(view.friends or ())],
        requests=requests(reply.requests, caller),
        blocks=[*reply.blocked.accounts],
        chats=[*(view.chats or ())],
        left_chats=[*(view.left or ())],
        sessions=sessions(record.logins, caller),
        bots=bots(record.bots),
        reports=[ReportInfo(one.chat, one.index, one.reason, one.reported) for one in reply.reports.reports],
        hooks=made.hooks,
        links=made.links,
        settings=settings(reply.settings, caller),
        subscriptions=subscriptions(reply.subscriptions, caller).subscriptions,
        metadata={one.key: one.value for one in reply.metadata.values},
    )


def _exported_messages(reply: MessagesExported, caller: Caller) -> ExportMessagesResult:
    messages = encode.messages(reply.messages, caller.base_url)
    following = next_after(reply.after, more=reply.more)
    return ExportMessagesResult(messages, reply.after, reply.more, saved_draft(reply.draft), following)


OWN_DATA_OPERATIONS = (
    Operation(
        "made", "list the account's webhooks, links and bots, which act without a login",
        READ, USERS, NoParameters, MadeResult, lambda *_: ListMade(), _made,
    ),
    Operation(
        "end_made", "delete all webhooks and links of the account, and revoke its bots' tokens",
        WRITE, USERS, NoParameters, Nothing, lambda *_: EndMade(),
    ),
    Operation(
        "export", "get all stored data of the account except messages",
        EXPENSIVE, USERS, NoParameters, ExportResult, lambda *_: ExportAccount(), _exported,
    ),
    Operation(
        "export_messages", "get a page of the messages that the account has sent to a chat",
        EXPENSIVE, USERS, ExportMessagesParameters, ExportMessagesResult,
        lambda wire, _: ExportMessages(wire.chat, wire.after), _exported_messages,
    ),
)  # fmt: skip
