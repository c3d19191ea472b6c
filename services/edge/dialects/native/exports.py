"""native, both directions: `export` and `export_messages`."""

from typing import Annotated

import msgspec

from services.edge.dialects.native.bots import BotInfo
from services.edge.dialects.native.made import MadeHookInfo, MadeLinkInfo
from services.edge.dialects.native.messages import ReportInfo
from services.edge.dialects.native.parameters import Number, Parameters
from services.edge.dialects.native.results import ProfileResult, RequestsResult, SessionInfo
from shared.message_event import ShownMessage


class ExportMessagesParameters(Parameters, kw_only=True):
    """`after`: of the page before."""

    chat: Number
    after: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 2, examples=[40])] = 0


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


class ExportMessagesResult(msgspec.Struct):
    """The own messages among the next 200 of the chat; there may be none. `more`: request the page after `after`."""

    messages: list[ShownMessage]
    after: int
    more: bool
