"""The dialect native, server to client: the events. A member that is UNSET is left out."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.canonical.events import ChatJoined
from services.edge.canonical.replies import ChatsResumed
from services.edge.dialects.native import encode
from services.edge.dialects.native.chats import ChatResult
from services.edge.dialects.native.own_chats import DraftInfo
from services.edge.dialects.native.own_settings import SettingsResult
from services.edge.dialects.native.shapes import ShownChange
from services.edge.dialects.native.sync import SyncResult
from services.edge.dialects.native.users import PresenceInfo, ProfileResult
from shared.contract.drafts import DraftPreview
from shared.contract.ephemeral import ChatSettingsChanged
from shared.contract.ids import ChatId
from shared.message_event import MessageEvent


class ChangedEvent(ShownChange, tag_field="ev", tag="changed"):
    """A message has changed. The connection that changed it gets no event."""


class ResumedEvent(SyncResult, tag_field="ev", tag="resumed"):
    """The first event of a stream that is resumed. It has the form of a reply to `sync`, and the missed events follow.
    Only HTTP has this event."""


class CursorEvent(msgspec.Struct, tag_field="ev", tag="cursor"):
    """The client's position in the stream, in the form that `sync` takes. This event is only sent if the position is
    too long for the id of an event. Only HTTP has this event."""

    have: str


class SyncedEvent(msgspec.Struct, tag_field="ev", tag="synced"):
    """All chats, messages and changes of a sync have been sent."""

    chats: int
    messages: int
    changes: int


class ChatEvent(ChatResult, tag_field="ev", tag="chat"):
    """The account is in a chat that is new to it. `members`: the first members, at most a hundred. `head`, `rev`: the
    chat's last index and last change when the account joined, or when the join was noticed. `first`: the first index
    that the account may see. Servers of older versions leave all three out."""

    head: int | UnsetType = UNSET
    first: int | UnsetType = UNSET
    rev: int | UnsetType = UNSET


class GoneEvent(msgspec.Struct, tag_field="ev", tag="gone"):
    """The account is no longer a member of the chat. `why`: the reason, which is left, kicked, disbanded or unknown."""

    chat: int
    why: str


class RoleEvent(msgspec.Struct, tag_field="ev", tag="role"):
    """`account` has a new role, which is member, admin or owner. The role is `left` after the account has left the
    group or `by` has removed it. There are no such events in big groups. `version`: the chat's version since this
    change."""

    chat: int
    account: int
    role: str
    by: int
    version: int | UnsetType = UNSET


class RenamedEvent(msgspec.Struct, tag_field="ev", tag="renamed"):
    chat: int
    name: str
    by: int


class SettingsEvent(msgspec.Struct, tag_field="ev", tag="settings"):
    """`by` has changed the group with `set_chat`. The event has all settings except the name, because the event
    `renamed` has that. `edit_s`, `recall_s` and `history_for_new` are null if they are not set. `handle` is left out if
    it is not set."""

    chat: int
    by: int
    avatar: str
    topic: str
    join_policy: str
    receipts: bool
    edit_s: int | None
    recall_s: int | None
    history_for_new: bool | None
    handle: str | UnsetType = UNSET


class MemberEvent(msgspec.Struct, tag_field="ev", tag="member"):
    """`account` has joined the group. If `accepted` is false, this account's request to join was rejected, and `name`
    is empty. `version`: the chat's version since the join, if it is known."""

    chat: int
    account: int
    name: str
    accepted: bool
    version: int | UnsetType = UNSET


class RequestEvent(msgspec.Struct, tag_field="ev", tag="request"):
    """`account` requests to join `chat`. Without `chat`, it sends a friend request."""

    account: int
    text: str
    chat: int | UnsetType = UNSET


class FriendEvent(msgspec.Struct, tag_field="ev", tag="friend"):
    """The other user has answered a friend request, or this account has answered one on another connection."""

    account: int
    accepted: bool


class ProfileEvent(ProfileResult, tag_field="ev", tag="profile"):
    """The profile of this account or of a friend has changed."""


class TypingEvent(msgspec.Struct, tag_field="ev", tag="typing"):
    """Another member writes a message. `ttl_ms`: show this for as many milliseconds, or until the member's message
    comes. With 0, the member has stopped."""

    chat: int
    account: int
    ttl_ms: int


class PresenceEvent(PresenceInfo, tag_field="ev", tag="presence"):
    """A watched account has a new state or a new text, which is shown beside the state."""


class ReadEvent(msgspec.Struct, tag_field="ev", tag="read"):
    """On another connection, this account has read the chat up to `index`, by `read` or by sending a message. Or it has
    marked the chat as unread from `unread_from` on. `unread`: the number of unread messages. `mentions`: how many of
    them mention the account."""

    chat: int
    index: int
    unread: int
    mentions: int
    unread_from: int | UnsetType = UNSET


class ReceiptsEvent(msgspec.Struct, tag_field="ev", tag="receipts"):
    """Other members have read the chat. For each, there is the account and the index up to which it has read."""

    chat: int
    upto: list[tuple[int, int]]


class MuteEvent(msgspec.Struct, tag_field="ev", tag="mute"):
    """The account has muted the chat on another of its connections."""

    chat: int
    until: int
    mentions_only: bool


class PlaceEvent(msgspec.Struct, tag_field="ev", tag="place"):
    """On another connection, this account has changed whether the chat is pinned or archived."""

    chat: int
    pinned: bool
    archived: bool


class DraftEvent(DraftInfo, kw_only=True, tag_field="ev", tag="draft"):
    """The account has changed the chat's draft on another connection. If `text` is empty, the draft with this `rev` and
    all earlier drafts are sent or removed. Ignore an event whose `rev` is lower than the last one."""

    chat: int


class OwnSettingsEvent(SettingsResult, tag_field="ev", tag="own_settings"):
    """This account has changed its own settings on another connection."""


class NoticeEvent(msgspec.Struct, tag_field="ev", tag="notice"):
    """Maintenance begins (`on`) or ends."""

    kind: str
    on: bool


class VerifiedEvent(msgspec.Struct, tag_field="ev", tag="verified"):
    """The mailed link was opened. With `passed`, the reply to the login follows. With `wrong` or `expired`, the link
    has verified nothing."""

    result: str


class ByeEvent(msgspec.Struct, tag_field="ev", tag="bye"):
    """The connection closes. `retry_ms`: reconnect after this time. Without it, do not reconnect automatically."""

    code: str
    text: str
    retry_ms: int | UnsetType = UNSET


EVENTS: tuple[type[msgspec.Struct], ...] = (
    MessageEvent, ChangedEvent, ResumedEvent, CursorEvent, SyncedEvent, ChatEvent, GoneEvent, RoleEvent, RenamedEvent,
    SettingsEvent, MemberEvent, RequestEvent, FriendEvent, ProfileEvent, TypingEvent, PresenceEvent, ReadEvent,
    ReceiptsEvent, MuteEvent, PlaceEvent, DraftEvent, OwnSettingsEvent, NoticeEvent, VerifiedEvent, ByeEvent,
)  # fmt: skip


def draft_event(chat: ChatId, draft: DraftPreview) -> DraftEvent:
    return DraftEvent(draft.rev, draft.text, draft.reply_to, draft.cut, chat=chat)


def chat_event(joined: ChatJoined, members: tuple[Any, ...]) -> ChatEvent:
    """Make the event about a new chat. `members`: the values of the chat's fields."""
    event = ChatEvent(*members)
    if joined.head is not None and joined.first is not None and joined.rev is not None:
        event.head, event.first, event.rev = joined.head, joined.first, joined.rev
    return event


def settings_event(changed: ChatSettingsChanged, base_url: str) -> SettingsEvent:
    avatar = encode.avatar_of("chat", changed.chat, changed.avatar, changed.avatar_hash, base_url)
    policy = changed.join_policy.value
    rules = changed.edit_seconds, changed.recall_seconds, changed.history_for_new
    handle = changed.handle or UNSET
    return SettingsEvent(changed.chat, changed.by, avatar, changed.topic, policy, changed.receipts, *rules, handle)


def synced(reply: ChatsResumed, base_url: str) -> list[msgspec.Struct]:
    """The events that follow the reply to `sync`. They are the messages and then the changes of each chat, and at last
    the end of the sync."""
    shown: list[msgspec.Struct] = []
    for one in reply.chats:
        shown += [encode.event(message, base_url) for message in one.messages]
        shown += [ChangedEvent(*encode.change_fields(change, base_url)) for change in one.changes]
    changes = sum(len(one.changes) for one in reply.chats)
    return [*shown, SyncedEvent(len(reply.chats), len(shown) - changes, changes)]
