"""native, server to client: the events. Members that may be UNSET are left out then."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.canonical.events import ChatJoined
from services.edge.canonical.replies import ChatsResumed
from services.edge.dialects.native import encode
from services.edge.dialects.native.chats import ChatResult
from services.edge.dialects.native.shapes import ShownChange
from services.edge.dialects.native.sync import SyncResult
from services.edge.dialects.native.users import PresenceInfo, ProfileResult
from shared.contract.ephemeral import ChatSettingsChanged
from shared.message_event import MessageEvent


class ChangedEvent(ShownChange, tag_field="ev", tag="changed"):
    """A message has changed; not to the connection that has changed it."""


class ResumedEvent(SyncResult, tag_field="ev", tag="resumed"):
    """A resumed stream of events begins: the reply of a sync, of which the events follow. By HTTP alone."""


class SyncedEvent(msgspec.Struct, tag_field="ev", tag="synced"):
    """The chats, messages and changes of a sync are complete."""

    chats: int
    messages: int
    changes: int


class ChatEvent(ChatResult, tag_field="ev", tag="chat"):
    """The account is in a chat that is new to it. `members`: at most the first hundred. `head`, `rev`: of the chat when
    the account joined, or was found to have joined; `first`: the first index that it may see. All three are left out
    only while a server of an older version tells the join."""

    head: int | UnsetType = UNSET
    first: int | UnsetType = UNSET
    rev: int | UnsetType = UNSET


class GoneEvent(msgspec.Struct, tag_field="ev", tag="gone"):
    """The account is no member of the chat any more. `why`: left, kicked, disbanded or unknown."""

    chat: int
    why: str


class RoleEvent(msgspec.Struct, tag_field="ev", tag="role"):
    """`account` has a new role: member, admin, owner; or left: it has left the group, or `by` has removed it. Not in
    big groups. `version`: the chat's, by which it has."""

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
    """`by` has changed the group with `set_chat`; these are all settings but the name, see `renamed`. `edit_s`,
    `recall_s`, `history_for_new`: null if they are not set."""

    chat: int
    by: int
    avatar: str
    topic: str
    join_policy: str
    receipts: bool
    edit_s: int | None
    recall_s: int | None
    history_for_new: bool | None


class MemberEvent(msgspec.Struct, tag_field="ev", tag="member"):
    """`account` has joined the group; not `accepted`: this account's request to join is rejected, and `name` is empty.
    `version`: the chat's, by which it has joined, if it is known."""

    chat: int
    account: int
    name: str
    accepted: bool
    version: int | UnsetType = UNSET


class RequestEvent(msgspec.Struct, tag_field="ev", tag="request"):
    """`account` asks to join `chat`, or (without `chat`) for friendship."""

    account: int
    text: str
    chat: int | UnsetType = UNSET


class FriendEvent(msgspec.Struct, tag_field="ev", tag="friend"):
    """The other user has answered a friend request, or this account has on another connection."""

    account: int
    accepted: bool


class ProfileEvent(ProfileResult, tag_field="ev", tag="profile"):
    """This account's profile, or that of a friend, has changed."""


class TypingEvent(msgspec.Struct, tag_field="ev", tag="typing"):
    """Another member writes a message. `ttl_ms`: show it for so long, unless a message of the member comes; 0: not any
    more."""

    chat: int
    account: int
    ttl_ms: int


class PresenceEvent(PresenceInfo, tag_field="ev", tag="presence"):
    """A watched account has another state, or another text beside it."""


class ReadEvent(msgspec.Struct, tag_field="ev", tag="read"):
    """This account has read the chat up to `index` on another connection: by `read`, or by a message of its own, in any
    dialect. `unread`: messages of others
    that are left; `mentions`: those of them that mention the account."""

    chat: int
    index: int
    unread: int
    mentions: int


class ReceiptsEvent(msgspec.Struct, tag_field="ev", tag="receipts"):
    """Other members have read the chat: account and index of each."""

    chat: int
    upto: list[tuple[int, int]]


class MuteEvent(msgspec.Struct, tag_field="ev", tag="mute"):
    """This account has muted the chat on another connection."""

    chat: int
    until: int
    mentions_only: bool


class NoticeEvent(msgspec.Struct, tag_field="ev", tag="notice"):
    """Maintenance begins (`on`) or ends."""

    kind: str
    on: bool


class VerifiedEvent(msgspec.Struct, tag_field="ev", tag="verified"):
    """The mailed link was opened: `passed` (the reply to the login follows), `wrong` or `expired`."""

    result: str


class ByeEvent(msgspec.Struct, tag_field="ev", tag="bye"):
    """The connection closes. `retry_ms`: connect again after so long; without it, do not by yourself."""

    code: str
    text: str
    retry_ms: int | UnsetType = UNSET


EVENTS: tuple[type[msgspec.Struct], ...] = (
    MessageEvent, ChangedEvent, ResumedEvent, SyncedEvent, ChatEvent, GoneEvent, RoleEvent, RenamedEvent,
    SettingsEvent, MemberEvent, RequestEvent, FriendEvent, ProfileEvent, TypingEvent, PresenceEvent, ReadEvent,
    ReceiptsEvent, MuteEvent, NoticeEvent, VerifiedEvent, ByeEvent,
)  # fmt: skip


def chat_event(joined: ChatJoined, members: tuple[Any, ...]) -> ChatEvent:
    """`members`: of the chat."""
    event = ChatEvent(*members)
    if joined.head is not None and joined.first is not None and joined.rev is not None:
        event.head, event.first, event.rev = joined.head, joined.first, joined.rev
    return event


def settings_event(changed: ChatSettingsChanged, base_url: str) -> SettingsEvent:
    avatar = encode.avatar_of("chat", changed.chat, changed.avatar, changed.avatar_hash, base_url)
    policy = changed.join_policy.value
    rules = changed.edit_seconds, changed.recall_seconds, changed.history_for_new
    return SettingsEvent(changed.chat, changed.by, avatar, changed.topic, policy, changed.receipts, *rules)


def synced(reply: ChatsResumed, base_url: str) -> list[msgspec.Struct]:
    """The events after the reply: the messages of each chat, then its changes; then the end."""
    shown: list[msgspec.Struct] = []
    for one in reply.chats:
        shown += [encode.event(message, base_url) for message in one.messages]
        shown += [ChangedEvent(*encode.change_fields(change, base_url)) for change in one.changes]
    changes = sum(len(one.changes) for one in reply.chats)
    return [*shown, SyncedEvent(len(reply.chats), len(shown) - changes, changes)]
