"""native, server to client: the events. Members that may be UNSET are left out then."""

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.dialects.native.mutes import MuteEvent
from services.edge.dialects.native.results import ChatResult, ProfileResult, ShownChange, SyncResult
from shared.message_event import MessageEvent


class PresenceInfo(msgspec.Struct):
    """`state`: active, away, busy or offline; hidden, of the own account alone; unknown, of an account that may not be
    watched, or while it is not known. `since`: Unix milliseconds, of a state that the account has given itself. `text`:
    beside that state."""

    account: int
    state: str
    since: int | UnsetType = UNSET
    text: str | UnsetType = UNSET


class WatchResult(msgspec.Struct):
    """In the order of the command."""

    presence: list[PresenceInfo]


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
