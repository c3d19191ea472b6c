"""native, server to client: the replies of operations. Members that may be UNSET are left out then."""

import msgspec
from msgspec import UNSET, UnsetType

from shared.message_event import SenderInfo, ShownMessage, ShownSegment


class Nothing(msgspec.Struct):
    """The operation succeeded."""


class ServerLimits(msgspec.Struct):
    """`text_bytes`: text of one message as UTF-8; `frame_bytes`: one frame. `rates`: commands each second and at once,
    `all` of a connection and of an account, and those of some operations; there are none if rates are not limited.
    `waiting`: so many commands beyond the rate of all wait for their turn; more end the connection (4029)."""

    text_bytes: int
    frame_bytes: int
    segments: int
    file_bytes: int
    rates: dict[str, tuple[float, int]]
    waiting: int


class HelloResult(msgspec.Struct):
    """`v`: the version of the dialect. `operations`: those that this server has. `time`: of the server. `ping_ms`: it
    pings a WebSocket from which nothing has come for so long."""

    v: int
    server: str
    limits: ServerLimits
    operations: list[str]
    time: int
    ping_ms: int


class PingResult(msgspec.Struct):
    """The time of the server."""

    time: int


# The account


class VerificationInfo(msgspec.Struct):
    """`expires`: Unix milliseconds."""

    expires: int


def unix_ms_of(seconds: int) -> int:
    """Tokens end at full seconds. All times of native are in Unix milliseconds."""
    return seconds * 1000


class LoginResult(msgspec.Struct):
    """`expires`, `refresh_expires`: Unix milliseconds, by the server's clock, which shows `time`. With `verify`,
    nothing else: the login waits for a mailed link."""

    account: int | UnsetType = UNSET
    sid: str | UnsetType = UNSET
    token: str | UnsetType = UNSET
    expires: int | UnsetType = UNSET
    uuid: str | UnsetType = UNSET
    nickname: str | UnsetType = UNSET
    verify: VerificationInfo | UnsetType = UNSET
    refresh: str | UnsetType = UNSET
    refresh_expires: int | UnsetType = UNSET
    time: int | UnsetType = UNSET


class TokenResult(msgspec.Struct):
    account: int
    sid: str
    expires: int
    time: int


class SessionInfo(msgspec.Struct):
    """A login. `created`, `expires`: Unix milliseconds. `here`: of this connection. `device`: as it was
    named at the login, or empty."""

    sid: str
    created: int
    expires: int
    address: str
    dialect: str
    here: bool
    device: str


class SessionsResult(msgspec.Struct):
    """Newest first."""

    sessions: list[SessionInfo]


# Messages


class ShownChange(msgspec.Struct):
    """A change of message `index`. `rev` counts 1, 2, 3 … within the chat; `kind`: edit, recall, reaction or pin; `by`:
    who made it. `segments`: of the edited message. `reactions`, `mine`: all of it, as in a message; `emoji`: in events
    alone, unless a service has failed, what `by` has added or (`on` false) removed. `on` of a pin: it is pinned."""

    chat: int
    rev: int
    index: int
    kind: str
    by: int
    time: int
    segments: list[ShownSegment] | UnsetType = UNSET
    reactions: dict[str, int] | UnsetType = UNSET
    mine: list[str] | UnsetType = UNSET
    emoji: str | UnsetType = UNSET
    on: bool | UnsetType = UNSET


class ChangeResult(msgspec.Struct):
    """The change is stored, now or by an earlier command."""

    rev: int
    time: int


class ReactResult(msgspec.Struct):
    """`count`: the accounts that have reacted with the emoji."""

    rev: int
    count: int


class ChangesResult(msgspec.Struct):
    """Of several changes of one kind of a message, only the last is there. `rev`: the chat's last one. `more`: request
    the changes after the last of these."""

    changes: list[ShownChange]
    rev: int
    more: bool


class SendResult(msgspec.Struct):
    """The message is stored. `again`: an earlier command with this nonce has stored it."""

    chat: int
    index: int
    id: int
    time: int
    again: bool | UnsetType = UNSET


class SentReply(msgspec.Struct, gc=False):
    """A SendResult with the id of its command: the whole of the most frequent reply."""

    re: int | str
    chat: int
    index: int
    id: int
    time: int
    again: bool | UnsetType = UNSET


class HistoryResult(msgspec.Struct):
    """`head`: the chat's last index. `more`: the page's direction has more messages after its last one. `rev`: the
    messages are as they were after this change."""

    messages: list[ShownMessage]
    head: int
    more: bool
    rev: int


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


# Users, groups


class ProfileResult(msgspec.Struct):
    """`avatar`: an address. `bot`: the account is a program's."""

    account: int
    uuid: str
    nickname: str
    avatar: str
    signature: str
    status: int
    icon_id: int
    deleted: bool
    bot: bool | UnsetType = UNSET


class FindResult(msgspec.Struct):
    accounts: list[ProfileResult]


class FriendsResult(msgspec.Struct):
    friends: list[int]


class FriendRequest(msgspec.Struct):
    account: int
    text: str


class JoinRequest(msgspec.Struct):
    account: int
    chat: int
    text: str


class RequestsResult(msgspec.Struct):
    """Those that wait for this account's answer."""

    friends: list[FriendRequest]
    joins: list[JoinRequest]


class BlocksResult(msgspec.Struct):
    """`accounts`: ascending."""

    accounts: list[int]


class OpenResult(msgspec.Struct):
    chat: int


class JoinResult(msgspec.Struct):
    """`joined` false: the group's owner or an admin has yet to answer, and `name` is empty. `version`: the chat's, if
    joined."""

    joined: bool
    name: str
    version: int | UnsetType = UNSET


class ChatResult(msgspec.Struct):
    """`kind`: private, group or service. `members`: in order of joining, the owner first, not all of a big group.
    `created`: Unix milliseconds; `version` rises with each change of the membership.
    `receipts`: members see what the others have read. `topic`: empty without one. `muted_until`, `mentions_only`: as
    set by `mute`. `edit_s`, `recall_s`, `history_for_new`: if they are set by `set_chat`."""

    chat: int
    kind: str
    name: str
    avatar: str
    owner: int
    join_policy: str
    created: int
    version: int
    members: list[int]
    receipts: bool
    topic: str
    muted_until: int | UnsetType = UNSET
    mentions_only: bool | UnsetType = UNSET
    edit_s: int | UnsetType = UNSET
    recall_s: int | UnsetType = UNSET
    history_for_new: bool | UnsetType = UNSET


class MemberInfo(msgspec.Struct):
    """`role`: member, admin or owner; left: no member any more, among the changes `since` a version alone. `silenced`:
    the member may not send before this time (Unix milliseconds). `nickname` and `avatar`: as in `profile`; left out of
    former members, and while a server of an older version replies."""

    account: int
    role: str
    silenced: int | UnsetType = UNSET
    nickname: str | UnsetType = UNSET
    avatar: str | UnsetType = UNSET


class MembersResult(msgspec.Struct):
    """`more`: request the next page with `after`, the last account. `silenced`: as of a member, for all but the owner
    and the admins. `version`: the chat's; left out while a server of an older version replies. `since`, as in the
    command: these are the members that have changed after this version; without it, these are all members."""

    members: list[MemberInfo]
    more: bool
    silenced: int | UnsetType = UNSET
    version: int | UnsetType = UNSET
    since: int | UnsetType = UNSET


class VersionResult(msgspec.Struct):
    """The operation succeeded. `version`: the chat's, as in `chat`; left out while a server of an older version
    replies, and if nothing of a chat has changed."""

    version: int | UnsetType = UNSET


class InviteResult(VersionResult):
    """Of `accounts`: `added`: those that are members now, also those that were before, in the order of the command;
    `rejected`: the others, and the code of an error for each, as in the command for one of them."""

    added: list[int] | UnsetType = UNSET
    rejected: dict[int, str] | UnsetType = UNSET


class BanInfo(msgspec.Struct):
    """`by`: who banned the account. `until`: Unix milliseconds; without it, the ban does not end."""

    account: int
    by: int
    until: int | UnsetType = UNSET


class BansResult(msgspec.Struct):
    bans: list[BanInfo]


class ErrorInfo(msgspec.Struct, omit_defaults=True):
    """`field`: the member that is at fault. `retry_ms`: try again after so long. `unknown`: the command may have had
    its effect: send a command with a nonce again, with the same one, and look first whether another one has."""

    code: str
    text: str
    field: str = ""
    retry_ms: int | UnsetType = UNSET
    unknown: bool = False
