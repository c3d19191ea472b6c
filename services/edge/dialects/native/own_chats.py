"""The dialect native: the operations of an account's private data of a chat: drafts, and marks as unread."""

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.dialects import validation
from services.edge.dialects.native.operation import READ, READS, SENDS, WRITE, Caller, Operation
from services.edge.dialects.native.shapes import ChatParameters, Index, IndexParameters, MessageText, SparseResult
from shared.contract.drafts import DraftPreview, DraftSaved, GetDraft, SavedDraft, SaveDraft
from shared.contract.message import MarkUnread
from shared.contract.model import Text


class DraftInfo(SparseResult):
    """`rev`: the time of the last change in Unix milliseconds. It is different for each change. `reply_to`: the index
    of a message. `cut`: whether the text is only the beginning of the draft. The operation `draft` returns the whole
    text."""

    rev: int
    text: str
    reply_to: int | UnsetType = UNSET
    cut: bool | UnsetType = UNSET


class DraftResult(msgspec.Struct):
    """The saved draft. If there is no `draft`, nothing is saved."""

    draft: DraftInfo | UnsetType = UNSET


class SetDraftParameters(ChatParameters, kw_only=True):
    """An empty `text` removes the draft. `base`: the `rev` of the draft that was changed, if there was one."""

    text: MessageText
    reply_to: Index = 0
    base: Index = 0


class SetDraftResult(SparseResult):
    """`rev`: the present `rev` of the draft. If another device has changed the draft meanwhile, nothing is stored, and
    `conflict` is the other draft. If its `rev` is 0, the other device has removed the draft."""

    rev: int | UnsetType = UNSET
    conflict: DraftInfo | UnsetType = UNSET


class MarkUnreadParameters(IndexParameters, kw_only=True):
    """`index`: the first message that counts as unread."""


class MarkUnreadResult(msgspec.Struct):
    """`unread`: the number of messages that are unread now. `mentions`: how many of these mention the account."""

    unread: int
    mentions: int


def draft_info(of: DraftPreview) -> DraftInfo:
    return DraftInfo(of.rev, of.text, of.reply_to, of.cut)


def saved_draft(of: SavedDraft | None) -> DraftInfo | UnsetType:
    """The draft of a chat. UNSET if the account has no draft there."""
    return UNSET if of is None or not of.rev else DraftInfo(of.rev, of.text, of.reply_to)


def _draft(reply: SavedDraft, _: Caller) -> DraftResult:
    return DraftResult(saved_draft(reply))


def _set(wire: SetDraftParameters, caller: Caller) -> SaveDraft:
    if wire.text:
        validation.message_text((Text(wire.text),), caller.limits, "text")
    return SaveDraft(wire.chat, wire.text, wire.reply_to, wire.base)


def _was_set(reply: DraftSaved, _: Caller) -> SetDraftResult:
    other = reply.conflict
    return SetDraftResult(reply.rev, UNSET if other is None else DraftInfo(other.rev, other.text, other.reply_to))


OWN_CHAT_OPERATIONS = (
    Operation(
        "mark_unread", "let a chat count as unread from a message on, until the next `read`; others do not see it",
        WRITE, READS, MarkUnreadParameters, MarkUnreadResult, lambda wire, _: MarkUnread(wire.chat, wire.index),
    ),
    Operation(
        "draft", "get the draft of a chat",
        READ, READS, ChatParameters, DraftResult, lambda wire, _: GetDraft(wire.chat), _draft,
    ),
    Operation(
        "set_draft", "store a draft for the account's other devices",
        WRITE, SENDS, SetDraftParameters, SetDraftResult, _set, _was_set,
    ),
)  # fmt: skip
