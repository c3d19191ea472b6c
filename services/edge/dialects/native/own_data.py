"""native: the operations of what the account has made, and of all that is stored of it."""

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.canonical.commands import ExportAccount, ExportMessages
from services.edge.canonical.replies import AccountExported, AccountMade, MessagesExported
from services.edge.dialects.native import encode
from services.edge.dialects.native.account import SessionInfo, sessions
from services.edge.dialects.native.bots import BotInfo, bots
from services.edge.dialects.native.messages import ReportInfo
from services.edge.dialects.native.operation import EXPENSIVE, READ, USERS, WRITE, Caller, Operation
from services.edge.dialects.native.shapes import Chat, NoParameters, Nothing, Parameters, SparseResult
from services.edge.dialects.native.users import ProfileResult, RequestsResult, profile, requests
from shared.contract.made import EndMade, ListMade
from shared.message_event import ShownMessage


class MadeHookInfo(SparseResult):
    """A webhook. `origin`: of the endpoint of an outgoing one; an incoming one has none. `created`: Unix
    milliseconds."""

    hook: str
    chat: int
    name: str
    created: int
    origin: str | UnsetType = UNSET


class MadeLinkInfo(SparseResult):
    """`uses`, `expires`: as `link` returns them. `created`: Unix milliseconds."""

    link: str
    chat: int
    created: int
    uses: int | UnsetType = UNSET
    expires: int | UnsetType = UNSET


class _HooksAndLinks(SparseResult):
    """The part of both results that has the members of a Made."""

    hooks: list[MadeHookInfo]
    links: list[MadeLinkInfo]


class MadeResult(_HooksAndLinks):
    """`hooks`, `links`: the newest first, at most 1,000 of each. `bots`: with their valid tokens."""

    bots: list[BotInfo]


class ExportResult(msgspec.Struct):
    """`exported`, `created`: Unix milliseconds. `question_id`: of the security question, or 0. `email_verified`: a
    mail to the address has reached the user. `blocks`, `friends`:
    accounts. `chats`: those that the account is in; `chat` describes each, `export_messages` has its own messages.
    `left_chats`: those that it was in, the newest 10,000; `export_messages` has its own messages there, too.
    `reports`: those that the operator has not closed. `hooks`, `links`: those that the account has made."""

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


class ExportMessagesParameters(Parameters, kw_only=True):
    """`after`: of the page before."""

    chat: Chat
    after: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 2, examples=[40])] = 0


class ExportMessagesResult(msgspec.Struct):
    """The own messages among the next 200 of the chat; there may be none. `more`: request the page after `after`."""

    messages: list[ShownMessage]
    after: int
    more: bool


def _made(reply: AccountMade, _: Caller) -> MadeResult:
    made = msgspec.convert(reply.made, _HooksAndLinks, from_attributes=True)
    return MadeResult(made.hooks, made.links, bots([*reply.bots]))


def _exported(reply: AccountExported, caller: Caller) -> ExportResult:
    record, view = reply.record, reply.view
    made = msgspec.convert(reply.made, _HooksAndLinks, from_attributes=True)
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
    )


def _exported_messages(reply: MessagesExported, caller: Caller) -> ExportMessagesResult:
    return ExportMessagesResult(encode.messages(reply.messages, caller.base_url), reply.after, reply.more)


OWN_DATA_OPERATIONS = (
    Operation(
        "made", "list what the account has made that acts without a login: webhooks, links, tokens of bots",
        READ, USERS, NoParameters, MadeResult, lambda *_: ListMade(), _made,
    ),
    Operation(
        "end_made", "end all of it: delete the webhooks and links, revoke the tokens of bots",
        WRITE, USERS, NoParameters, Nothing, lambda *_: EndMade(),
    ),
    Operation(
        "export", "all that is stored of the account, but for messages",
        EXPENSIVE, USERS, NoParameters, ExportResult, lambda *_: ExportAccount(), _exported,
    ),
    Operation(
        "export_messages", "a page of the messages that the account has sent to a chat",
        EXPENSIVE, USERS, ExportMessagesParameters, ExportMessagesResult,
        lambda wire, _: ExportMessages(wire.chat, wire.after), _exported_messages,
    ),
)  # fmt: skip
