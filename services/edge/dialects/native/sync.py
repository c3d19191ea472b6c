"""The dialect native: the operations that fetch a client's missing messages and changes."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.canonical.commands import ReadHistory, ResumeChats
from services.edge.canonical.positions import unpack
from services.edge.canonical.replies import ChangesPage, ChatsResumed, ChatToResume, HistoryPage
from services.edge.dialects.base import DecodeError
from services.edge.dialects.native import encode
from services.edge.dialects.native.chats import own_members
from services.edge.dialects.native.operation import EXPENSIVE, READ, READS, Caller, Operation
from services.edge.dialects.native.own_chats import DraftInfo, draft_info
from services.edge.dialects.native.own_settings import SettingsResult, settings_members
from services.edge.dialects.native.shapes import (
    LARGEST,
    Chat,
    Index,
    NextAfter,
    Number,
    Parameters,
    ShownChange,
    UnixMs,
    next_after,
)
from services.edge.dialects.native.users import BlocksResult, FriendsResult, RequestsResult, requests
from shared.contract.errors import Reason
from shared.contract.message import GetChanges
from shared.contract.own_lists import OwnLists
from shared.contract.resume import ChatRevision
from shared.message_event import SenderInfo, ShownMessage, sender_info

_Have = Annotated[
    dict[Chat, Annotated[list[Index], msgspec.Meta(min_length=1, max_length=2)]],
    msgspec.Meta(examples=[{"12": [40, 7]}]),
]


class SyncParameters(Parameters, kw_only=True):
    """`have`: for each chat, a list of the last index and the last `rev` up to which the client has everything. Without
    the `rev`, no changes are sent. `have` may instead be a text that also has the `epoch` and the states. `states`: the
    last `state` of each chat that the client knows, or 0 if it knows none. If a chat has no entry, it is not listed
    only because of a new state. `among`: list only chats whose ids are from the first to the second of these numbers.
    `before`: the `before` of the previous page. For the next page, repeat all other members. After a `reset`, use the
    members of `next` instead. `lists`: the last `state` of each list that the client keeps (friends, requests, blocks,
    settings), or 0 if it has none. `wait_ms`: over HTTP, the response may be delayed by this time, until something
    happens."""

    epoch: Annotated[str, msgspec.Meta(examples=["9f3c01aa"])] = ""
    have: _Have | str = msgspec.field(default_factory=dict)
    states: Annotated[dict[Chat, Index], msgspec.Meta(examples=[{"12": 3}])] = msgspec.field(default_factory=dict)
    among: tuple[Index, Index] | None = None
    window: Annotated[int, msgspec.Meta(ge=1, le=500, examples=[50])] = 30
    timeline: Annotated[int, msgspec.Meta(ge=0, le=100, examples=[50])] = 20
    before: tuple[Index, Index] | None = None
    lists: Annotated[dict[str, Index], msgspec.Meta(max_length=16, examples=[{"friends": 0}])] = msgspec.field(
        default_factory=dict
    )
    wait_ms: Annotated[int, msgspec.Meta(ge=0, le=30_000, examples=[25_000])] = 0


class Gap(msgspec.Struct, rename={"low": "from", "high": "to"}):
    """Indexes of messages that the client lacks and that this sync does not send. Request these messages by
    `history`."""

    low: int
    high: int


class LastInfo(msgspec.Struct):
    """The last message of a chat. `text`: the message's first 120 characters, or the name of its file. `kind`: `text`,
    `emoji`, `image`, `file`, `recalled` or `expired`. The last two have no text. There may be more kinds in later
    versions."""

    index: int
    sender: int
    text: str
    kind: str


class ChatHead(msgspec.Struct):
    """A chat of which the client lacks messages, changes, or the present `state`. `head`: the chat's last index.
    `time`: the time of the chat's last message or, without messages, of its creation. `first`: the first index that the
    account may see. `read`: the index up to which all messages are read. `unread`: the number of unread messages.
    `mentions`: how many of these mention the account. `rev`: the chat's last change. `changes_after`: set if this sync
    does not send the changes after this one. Request them by `changes`. `pins`: the indexes of the pinned messages.
    `unread_from`: the index from which on messages count as unread, because `mark_unread` has set it. `topic`: the
    chat's topic, if there is one. `members`: the two members of a chat that is no group. `face`: the other member's
    profile summary. `muted_until` and `mentions_only` are set by `mute`, and `pinned` and `archived` by `set_place`.
    `role`: the role of the account, as in `members`. `receipts`: false if members do not see which messages the others
    have read. `edit_s`, `recall_s`, `history_for_new` and `handle` are present if they are set by `set_chat`. `last`:
    the last message, if the account may see it. `state`: a number that changes with these values and with the chat's
    members and roles. It does not change with messages, `rev` and values that change with `rev`. Only a server of an
    older version leaves out `role` and `state`."""

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
    pinned: bool | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    members: list[int] | UnsetType = UNSET
    face: SenderInfo | UnsetType = UNSET
    role: str | UnsetType = UNSET
    receipts: bool | UnsetType = UNSET
    edit_s: int | UnsetType = UNSET
    recall_s: int | UnsetType = UNSET
    history_for_new: bool | UnsetType = UNSET
    handle: str | UnsetType = UNSET
    state: int | UnsetType = UNSET
    unread_from: int | UnsetType = UNSET
    draft: DraftInfo | UnsetType = UNSET
    last: LastInfo | UnsetType = UNSET


class FriendsList(FriendsResult):
    """`v`: the version of each friend's profile, as in the `face` of a message. `state` changes with the list and with
    each profile."""

    v: list[int]
    state: int


class RequestsList(RequestsResult):
    state: int


class BlocksList(BlocksResult):
    state: int


class SettingsList(SettingsResult, kw_only=True):
    state: int


class ChangedLists(msgspec.Struct):
    """Each list replaces the client's copy of that list."""

    friends: FriendsList | UnsetType = UNSET
    requests: RequestsList | UnsetType = UNSET
    blocks: BlocksList | UnsetType = UNSET
    settings: SettingsList | UnsetType = UNSET


class NextChats(msgspec.Struct):
    """The members with which the same command gets the next page. After a `reset`, they also replace the client's
    `epoch` and all its positions in the requests for all later pages."""

    before: list[int]
    epoch: str | UnsetType = UNSET
    have: dict[int, list[int]] | UnsetType = UNSET
    states: dict[int, int] | UnsetType = UNSET
    among: UnsetType | None = UNSET


class SyncResult(msgspec.Struct):
    """The chats, of which the most recently active ones come first. Their messages and changes follow as events, and
    then the event `synced`. `reset`: whether the client must forget all messages, because the server has lost them.
    `gone`: the chats of which the account is no longer a member. `away`: always empty. `before`: as in `next`. `lists`:
    the lists that have changed."""

    epoch: str
    reset: bool
    chats: list[ChatHead]
    gone: list[int]
    away: list[int]
    before: list[int] | UnsetType = UNSET
    lists: ChangedLists | UnsetType = UNSET
    next: NextChats | UnsetType = UNSET


def _sync(wire: SyncParameters, _: Caller) -> ResumeChats:
    epoch, have, revs, states = _known(wire)
    lists = wire.lists if wire.before is None else {}
    return ResumeChats(epoch, have, wire.window, wire.timeline, wire.before, revs, states, wire.among, lists)


def _known(wire: SyncParameters) -> tuple[str, dict[Chat, int], dict[Chat, int], dict[Chat, int]]:
    """Return the epoch, the indexes, the revs and the states that the client has."""
    if isinstance(wire.have, dict):
        have = {chat: place[0] for chat, place in wire.have.items()}
        return wire.epoch, have, {chat: place[1] for chat, place in wire.have.items() if len(place) > 1}, wire.states
    if wire.epoch or wire.states:
        raise DecodeError("a `have` that is a text already contains the `epoch` and the `states`", field="have")
    try:
        epoch, places = unpack(wire.have)
    except ValueError as error:
        raise DecodeError(f"`have`: {error}", field="have", reason=Reason.FORM) from error
    columns = zip(*places.values(), strict=True) if places else ((), (), ())
    have, revs, states = (dict(zip(places, column, strict=True)) for column in columns)
    return epoch, have, revs, states


def _synced(reply: ChatsResumed, caller: Caller) -> SyncResult:
    """The result of `sync`. The events that `events.synced` makes are sent after it."""
    heads = [_head(one, caller.base_url) for one in reply.chats]
    lists = _lists(reply.lists, caller) if reply.lists.changed else UNSET
    before = UNSET if reply.before is None else [*reply.before]
    following = UNSET if before is UNSET else _following(before, reply)
    return SyncResult(reply.epoch, reply.reset, heads, [*reply.gone], [*reply.away], before, lists, following)


def _following(before: list[int], reply: ChatsResumed) -> NextChats:
    return NextChats(before, reply.epoch, {}, {}, None) if reply.reset else NextChats(before)


def _lists(found: OwnLists, caller: Caller) -> ChangedLists:
    shown, states = ChangedLists(), found.changed
    if found.friends is not None:
        friends, versions = [list(column) for column in zip(*found.friends, strict=True)] or ([], [])
        shown.friends = FriendsList(friends, versions, states["friends"])
    if found.requests is not None:
        waiting = requests(found.requests, caller)
        shown.requests = RequestsList(waiting.friends, waiting.joins, states["requests"])
    if found.blocks is not None:
        shown.blocks = BlocksList([*found.blocks], states["blocks"])
    if found.settings is not None:
        shown.settings = SettingsList(*settings_members(found.settings), state=states["settings"])
    return shown


def _head(one: ChatToResume, base_url: str) -> ChatHead:
    chat, state = one.chat, one.state
    present = state.messages[0].index if state.messages else state.head + 1
    revision = state.revision or ChatRevision(0)
    muted_until, mentions_only, pinned, archived = own_members(one.mute)
    return ChatHead(
        chat=chat.id,
        kind=chat.kind.value,
        name=chat.name,
        avatar=encode.avatar_of("chat", chat.id, chat.avatar, chat.avatar_hash, base_url),
        owner=chat.owner,
        join_policy=chat.join_policy.value,
        version=chat.version,
        head=state.head,
        time=state.time or chat.created,
        first=state.first_index,
        read=state.read_index,
        unread=state.unread,
        rev=revision.rev,
        gap=Gap(state.lacks_from, present - 1) if state.lacks_from < present else UNSET,
        changes_after=encode.if_set(revision.sent_up_to),
        pins=revision.pins or UNSET,
        mentions=state.mentions or UNSET,
        topic=chat.topic or UNSET,
        members=UNSET if state.pair is None else [*dict.fromkeys(state.pair)],
        face=UNSET if one.other is None else sender_info(one.other),
        muted_until=muted_until,
        mentions_only=mentions_only,
        pinned=pinned,
        archived=archived,
        role=UNSET if one.role is None else encode.ROLES[one.role],
        receipts=UNSET if chat.receipts else False,
        edit_s=encode.if_set(chat.edit_seconds),
        recall_s=encode.if_set(chat.recall_seconds),
        history_for_new=encode.if_set(chat.history_for_new),
        handle=chat.handle or UNSET,
        state=state.state or UNSET,
        unread_from=state.unread_from or UNSET,
        draft=UNSET if state.draft is None else draft_info(state.draft),
        last=UNSET if state.last is None else LastInfo(*msgspec.structs.astuple(state.last)),
    )


class HistoryParameters(Parameters, kw_only=True):
    """`from`: an index, or −k for the k-th newest message. `around` instead requests the messages before and after an
    index. `at` requests the messages before and after a time (Unix milliseconds)."""

    chat: Chat
    start: Annotated[int, msgspec.Meta(ge=-LARGEST, le=LARGEST, examples=[40])] = msgspec.field(name="from", default=-1)
    count: Annotated[int, msgspec.Meta(ge=1, le=200, examples=[100])] = 50
    dir: Literal["older", "newer"] = "older"
    around: Number | None = None
    at: UnixMs | None = None


class NextMessages(msgspec.Struct, rename={"start": "from"}):
    """The members with which the same command gets the next page."""

    start: int


class HistoryResult(msgspec.Struct):
    """`head`: the chat's last index. `more`: whether there are more messages in the page's direction. `rev`: the
    messages are shown as they were after this change. With `around` or `at`, the messages are in ascending order. Then
    `older` and `newer` say whether there are more messages before and after them."""

    messages: list[ShownMessage]
    head: int
    more: bool
    rev: int
    older: bool | UnsetType = UNSET
    newer: bool | UnsetType = UNSET
    next: NextMessages | UnsetType = UNSET


def _page(wire: HistoryParameters, _: Caller) -> ReadHistory:
    if wire.around is not None and wire.at is not None:
        raise DecodeError("either `around` or `at` names the place", field="at")
    if wire.around is None and wire.at is None:
        return ReadHistory(wire.chat, wire.start, wire.count, wire.dir == "older")
    around = wire.around or (0 if wire.at else 1)
    return ReadHistory(wire.chat, around, wire.count, False, around, wire.at or 0)


def _history(page: HistoryPage, caller: Caller) -> HistoryResult:
    older, newer = (UNSET, UNSET) if page.sides is None else page.sides
    messages = encode.messages(page.messages, caller.base_url)
    has_next = page.more and page.sides is None and messages
    following = NextMessages(messages[-1].index + (-1 if page.older else 1)) if has_next else UNSET
    return HistoryResult(messages, page.head, page.more, page.rev, older, newer, following)


class ChangesParameters(Parameters, kw_only=True):
    """`after`: the `rev` after which changes are requested."""

    chat: Chat
    after: Index = 0


class ChangesResult(msgspec.Struct):
    """If a message has changed several times in the same way, only the last of these changes is listed. `rev`: the
    chat's last change."""

    changes: list[ShownChange]
    rev: int
    more: bool
    next: NextAfter | UnsetType = UNSET


def _changes(page: ChangesPage, caller: Caller) -> ChangesResult:
    changes = encode.changes(page.changes, caller.base_url)
    following = next_after(changes[-1].rev, more=page.more) if changes else UNSET
    return ChangesResult(changes, page.rev, page.more, following)


SYNC_OPERATIONS = (
    Operation(
        "sync", "get the chats and messages that the client lacks",
        EXPENSIVE, READS, SyncParameters, SyncResult, _sync, _synced,
    ),
    Operation(
        "history", "a page of messages", READ, READS, HistoryParameters, HistoryResult, _page, _history,
    ),
    Operation(
        "changes", "get a page of changes of messages", READ, READS, ChangesParameters, ChangesResult,
        lambda wire, _: GetChanges(wire.chat, wire.after), _changes,
    ),
)  # fmt: skip
