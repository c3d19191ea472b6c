"""native: the operations by which a client gets the messages and changes that it lacks."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.canonical.commands import ReadHistory, ResumeChats
from services.edge.canonical.replies import ChangesPage, ChatsResumed, ChatToResume, HistoryPage
from services.edge.dialects.native import encode
from services.edge.dialects.native.chats import muted
from services.edge.dialects.native.operation import EXPENSIVE, READ, READS, Caller, Operation
from services.edge.dialects.native.shapes import LARGEST, Chat, Index, Parameters, ShownChange
from shared.contract.message import GetChanges
from shared.contract.resume import ChatRevision
from shared.message_event import SenderInfo, ShownMessage


class SyncParameters(Parameters, kw_only=True):
    """`have`: for each chat, a list with the last index that the client has, without a gap before it, and the last
    `rev`, without a gap before it; without the `rev`, no changes are sent. `states`: the `state` of each of these chats
    as the client knows it, 0 if it knows none; a chat without one is not listed for a new state. `before`: of the reply
    with the page before; all else is as in its command. `wait_ms`: by HTTP, the response may wait for so long until
    there is something."""

    epoch: Annotated[str, msgspec.Meta(examples=["9f3c01aa"])] = ""
    have: Annotated[
        dict[Chat, Annotated[list[Index], msgspec.Meta(min_length=1, max_length=2)]],
        msgspec.Meta(max_length=1000, examples=[{"12": [40, 7]}]),
    ] = msgspec.field(default_factory=dict)
    states: Annotated[dict[Chat, Index], msgspec.Meta(max_length=1000, examples=[{"12": 3}])] = msgspec.field(
        default_factory=dict
    )
    window: Annotated[int, msgspec.Meta(ge=1, le=100, examples=[50])] = 30
    timeline: Annotated[int, msgspec.Meta(ge=0, le=100, examples=[50])] = 20
    before: tuple[Index, Index] | None = None
    wait_ms: Annotated[int, msgspec.Meta(ge=0, le=30_000, examples=[25_000])] = 0


class Gap(msgspec.Struct, rename={"low": "from", "high": "to"}):
    """Indexes that the client lacks and that are not sent now; `history` has them."""

    low: int
    high: int


class ChatHead(msgspec.Struct):
    """A chat of which the client lacks messages, changes, or the present `state`. `head`: its last index; `time`: of
    that message, 0 without one. `first`: the first index that the account may see; up to `read`, all is read; `unread`:
    how many are not, and `mentions`: how many of these mention the account. `rev`: its last change. `changes_after`:
    the changes after this one are not sent now; `changes` has them. `pins`: the indexes of the pinned messages.
    `topic`: if there is one. `members`: both of a chat that is no group; `face`: of the other one. `muted_until`,
    `mentions_only`: as set by `mute`. `role`: of the account, as in `members`. `receipts`: false if members do not see
    what the others have read. `edit_s`, `recall_s`, `history_for_new`: if they are set by `set_chat`. `state`: another
    number as soon as anything of this has changed, or the chat's members or their roles, but for messages, `rev` and
    what changes with it; `role` and `state` are left out only while a server of an older version replies."""

    chat: int
    kind: str
    name: str
    avatar: str
    owner: int
    join_policy: str
    version: int
    head: int
    time: int
    first: int
    read: int
    unread: int
    rev: int
    gap: Gap | UnsetType = UNSET
    changes_after: int | UnsetType = UNSET
    pins: list[int] | UnsetType = UNSET
    mentions: int | UnsetType = UNSET
    topic: str | UnsetType = UNSET
    muted_until: int | UnsetType = UNSET
    mentions_only: bool | UnsetType = UNSET
    members: list[int] | UnsetType = UNSET
    face: SenderInfo | UnsetType = UNSET
    role: str | UnsetType = UNSET
    receipts: bool | UnsetType = UNSET
    edit_s: int | UnsetType = UNSET
    recall_s: int | UnsetType = UNSET
    history_for_new: bool | UnsetType = UNSET
    state: int | UnsetType = UNSET


class SyncResult(msgspec.Struct):
    """The last active chats come first; their messages and changes follow as events, then `synced`. `reset`: forget all
    messages, the server does not have them any more. `gone`: chats that the account is not in any more. `away`: always
    empty. `before`: there are more chats, request them with it."""

    epoch: str
    reset: bool
    chats: list[ChatHead]
    gone: list[int]
    away: list[int]
    before: list[int] | UnsetType = UNSET


def _sync(wire: SyncParameters, _: Caller) -> ResumeChats:
    have = {chat: place[0] for chat, place in wire.have.items()}
    revs = {chat: place[1] for chat, place in wire.have.items() if len(place) > 1}
    return ResumeChats(wire.epoch, have, wire.window, wire.timeline, wire.before, revs, wire.states)


def _synced(reply: ChatsResumed, caller: Caller) -> SyncResult:
    """`events.synced` follows."""
    heads = [_head(one, caller.base_url) for one in reply.chats]
    before = UNSET if reply.before is None else [*reply.before]
    return SyncResult(reply.epoch, reply.reset, heads, [*reply.gone], [*reply.away], before)


def _head(one: ChatToResume, base_url: str) -> ChatHead:
    chat, state = one.chat, one.state
    present = state.messages[0].index if state.messages else state.head + 1
    revision = state.revision or ChatRevision(0)
    muted_until, mentions_only = muted(one.mute)
    return ChatHead(
        chat=chat.id,
        kind=chat.kind.value,
        name=chat.name,
        avatar=encode.avatar_of("chat", chat.id, chat.avatar, chat.avatar_hash, base_url),
        owner=chat.owner,
        join_policy=chat.join_policy.value,
        version=chat.version,
        head=state.head,
        time=state.time,
        first=state.first_index,
        read=state.read_index,
        unread=state.unread,
        rev=revision.rev,
        gap=Gap(state.lacks_from, present - 1) if state.lacks_from < present else UNSET,
        changes_after=encode.if_set(revision.sent_up_to),
        pins=revision.pins or UNSET,
        mentions=state.mentions or UNSET,
        topic=chat.topic or UNSET,
        members=UNSET if state.pair is None else [*state.pair],
        face=UNSET if one.other is None else SenderInfo(one.other.nickname, one.other.uuid),
        muted_until=muted_until,
        mentions_only=mentions_only,
        role=UNSET if one.role is None else encode.ROLES[one.role],
        receipts=UNSET if chat.receipts else False,
        edit_s=encode.if_set(chat.edit_seconds),
        recall_s=encode.if_set(chat.recall_seconds),
        history_for_new=encode.if_set(chat.history_for_new),
        state=state.state or UNSET,
    )


class HistoryParameters(Parameters, kw_only=True):
    """`from`: an index, or −k for the k-th newest message."""

    chat: Chat
    start: Annotated[int, msgspec.Meta(ge=-LARGEST, le=LARGEST, examples=[40])] = msgspec.field(name="from", default=-1)
    count: Annotated[int, msgspec.Meta(ge=1, le=200, examples=[100])] = 50
    dir: Literal["older", "newer"] = "older"


class HistoryResult(msgspec.Struct):
    """`head`: the chat's last index. `more`: the page's direction has more messages after its last one. `rev`: the
    messages are as they were after this change."""

    messages: list[ShownMessage]
    head: int
    more: bool
    rev: int


def _history(page: HistoryPage, caller: Caller) -> HistoryResult:
    return HistoryResult(encode.messages(page.messages, caller.base_url), page.head, page.more, page.rev)


class ChangesParameters(Parameters, kw_only=True):
    """`after`: a `rev`."""

    chat: Chat
    after: Index = 0


class ChangesResult(msgspec.Struct):
    """Of several changes of one kind of a message, only the last is there. `rev`: the chat's last one. `more`: request
    the changes after the last of these."""

    changes: list[ShownChange]
    rev: int
    more: bool


def _changes(page: ChangesPage, caller: Caller) -> ChangesResult:
    return ChangesResult(encode.changes(page.changes, caller.base_url), page.rev, page.more)


SYNC_OPERATIONS = (
    Operation(
        "sync", "the chats and messages that the client lacks",
        EXPENSIVE, READS, SyncParameters, SyncResult, _sync, _synced,
    ),
    Operation(
        "history", "a page of messages", READ, READS, HistoryParameters, HistoryResult,
        lambda wire, _: ReadHistory(wire.chat, wire.start, wire.count, wire.dir == "older"), _history,
    ),
    Operation(
        "changes", "a page of changes of messages", READ, READS, ChangesParameters, ChangesResult,
        lambda wire, _: GetChanges(wire.chat, wire.after), _changes,
    ),
)  # fmt: skip
