"""The dialect native: the operations of chats and their settings."""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.dialects import addresses, validation
from services.edge.dialects.base import DecodeError
from services.edge.dialects.native.encode import avatar_of, if_set
from services.edge.dialects.native.operation import MANAGES, READ, READS, SENDS, WRITE, Caller, Operation
from services.edge.dialects.native.shapes import (
    Account,
    AccountParameters,
    ChatParameters,
    GroupName,
    Handle,
    MessageText,
    Nonce,
    Nothing,
    Parameters,
    PictureAddress,
    Small,
    UnixMs,
    VersionResult,
)
from shared.contract.errors import Reason
from shared.contract.members import DisbandChat, SetChat
from shared.contract.model import JoinPolicy
from shared.contract.session import (
    ChatView,
    CreateChat,
    GetChat,
    MemberSettings,
    MuteChat,
    OpenPrivateChat,
    PlaceChat,
    RenameChat,
)

Flag = bool | UnsetType


class OpenResult(msgspec.Struct):
    chat: int


class CreateParameters(Parameters, kw_only=True):
    """If `name` is empty, the chat is named after its members. If the command is repeated with the same `nonce` within
    ten minutes, the first reply is sent again."""

    members: list[Account] = msgspec.field(default_factory=list)
    name: GroupName = ""
    avatar: PictureAddress = ""
    join_policy: Literal["open", "approval", "closed"] = "approval"
    nonce: Nonce | None = None


class ChatResult(msgspec.Struct):
    """`kind`: private, group or service. `members`: the members in the order in which they joined, the owner first. For
    a big group, only the first members are listed. `created`: Unix milliseconds. `version`: a number that grows with
    each change of the membership. `receipts`: whether members see which messages the others have read. `mute` sets
    `muted_until` and `mentions_only`. `set_place` sets `pinned` and `archived`. `set_chat` sets `edit_s`, `recall_s`,
    `history_for_new` and `handle`."""

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
    pinned: bool | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    edit_s: int | UnsetType = UNSET
    recall_s: int | UnsetType = UNSET
    history_for_new: bool | UnsetType = UNSET
    handle: str | UnsetType = UNSET


def chat_members(view: ChatView, base_url: str) -> tuple[Any, ...]:
    """The values of a ChatResult for this chat, in the order of its fields."""
    one = view.chat
    avatar = avatar_of("chat", one.id, one.avatar, one.avatar_hash, base_url)
    members = [int(member) for member in view.members]
    policy = one.join_policy.value
    return (
        one.id, one.kind.value, one.name, avatar, one.owner, policy, one.created, one.version, members, one.receipts,
        one.topic, *own_members(view.mute), if_set(one.edit_seconds), if_set(one.recall_seconds),
        if_set(one.history_for_new), one.handle or UNSET,
    )  # fmt: skip


def own_members(of: MemberSettings | None) -> tuple[int | UnsetType, Flag, Flag, Flag]:
    """The values `muted_until`, `mentions_only`, `pinned` and `archived` of a chat."""
    found = of or MemberSettings()
    return found.until or UNSET, found.mentions_only or UNSET, found.pinned or UNSET, found.archived or UNSET


def _create(wire: CreateParameters, caller: Caller) -> CreateChat:
    return CreateChat(
        wire.members,
        wire.name and validation.group_name(wire.name, caller.limits),
        addresses.stored_address(wire.avatar, caller.limits),
        join_policy=JoinPolicy(wire.join_policy),
        nonce=wire.nonce or "",
    )


def _chat(view: ChatView, caller: Caller) -> ChatResult:
    return ChatResult(*chat_members(view, caller.base_url))


class SetChatParameters(ChatParameters, kw_only=True):
    """Members that are left out do not change. `avatar`: an address, as in `set_profile`. An empty `topic` or `avatar`
    removes it. `join_policy`: as in `create`. With `closed`, accounts join only by a link or an invitation. `receipts`:
    whether members see which messages the others have read. `edit_s`, `recall_s`: the seconds for which a sender may
    edit or recall a message. 0 means never, and null means as long as the server allows. The server's limit also holds
    for other values. `history_for_new`: whether accounts that join from now on see earlier messages. With null, they do
    so only if the group is open. `handle`: the group's name on IRC, which is unique in the installation, or empty. Only
    the owner can set it."""

    name: GroupName | None = None
    receipts: bool | None = None
    avatar: PictureAddress | None = None
    topic: MessageText | None = None
    join_policy: Literal["open", "approval", "closed"] | None = None
    edit_s: Small | UnsetType | None = UNSET
    recall_s: Small | UnsetType | None = UNSET
    history_for_new: bool | UnsetType | None = UNSET
    handle: Handle | None = None


def _set_chat(wire: SetChatParameters, caller: Caller) -> RenameChat | SetChat:
    changed = SetChat(wire.chat)
    if wire.name is not None:
        changed.name = validation.group_name(wire.name, caller.limits)
    if wire.avatar is not None:
        changed.avatar, changed.avatar_hash = addresses.stored_address(wire.avatar, caller.limits), ""
    if wire.topic is not None:
        changed.topic = validation.topic(wire.topic, caller.limits)
    if wire.join_policy is not None:
        changed.join_policy = JoinPolicy(wire.join_policy)
    if wire.receipts is not None:
        changed.receipts = wire.receipts
    if wire.handle is not None:
        changed.handle = wire.handle
    changed.edit_seconds, changed.recall_seconds = wire.edit_s, wire.recall_s
    changed.history_for_new = wire.history_for_new
    if changed == SetChat(changed.chat):
        raise DecodeError("there is nothing to change", field="name", reason=Reason.MISSING)
    if isinstance(changed.name, str) and changed == SetChat(changed.chat, changed.name):
        return RenameChat(changed.chat, changed.name)
    return changed


class MuteParameters(ChatParameters, kw_only=True):
    """`until`: before this time (Unix milliseconds), clients do not alert their user of any message. With 0, they alert
    of all messages. `mentions_only`: whether they alert only of messages that mention the account."""

    until: UnixMs
    mentions_only: bool = False


class PlaceParameters(ChatParameters, kw_only=True):
    """Sets the place of a chat in clients' lists. `pinned`: whether it is shown before the other chats. `archived`:
    whether it is shown apart from them. A member that is left out does not change."""

    pinned: bool | UnsetType = UNSET
    archived: bool | UnsetType = UNSET


def _place(wire: PlaceParameters, _: Caller) -> PlaceChat:
    if wire.pinned is UNSET and wire.archived is UNSET:
        raise DecodeError("there is nothing to change", field="pinned", reason=Reason.MISSING)
    return PlaceChat(wire.chat, wire.pinned, wire.archived)


CHAT_OPERATIONS = (
    Operation(
        "open", "find or create the private chat with an account",
        WRITE, SENDS, AccountParameters, OpenResult, lambda wire, _: OpenPrivateChat(wire.account),
    ),
    Operation("create", "create a group", WRITE, MANAGES, CreateParameters, ChatResult, _create, _chat),
    Operation(
        "chat", "get a chat and its members",
        READ, READS, ChatParameters, ChatResult, lambda wire, _: GetChat(wire.chat), _chat,
    ),
    Operation(
        "set_chat", "change a group: its name, picture and topic, who may join, and what members may do and see",
        WRITE, MANAGES, SetChatParameters, VersionResult, _set_chat,
    ),
    Operation(
        "mute", "mute a chat until a time, or alert only for mentions",
        WRITE, MANAGES, MuteParameters, Nothing, lambda wire, _: MuteChat(wire.chat, wire.until, wire.mentions_only),
    ),
    Operation(
        "set_place", "pin or archive a chat in the account's list", WRITE, MANAGES, PlaceParameters, Nothing, _place
    ),
    Operation(
        "disband", "end a group for all members",
        WRITE, MANAGES, ChatParameters, VersionResult, lambda wire, _: DisbandChat(wire.chat),
    ),
)  # fmt: skip
