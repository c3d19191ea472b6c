"""native: the operations of chats and their settings."""

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
    MessageText,
    Nonce,
    Nothing,
    Parameters,
    PictureAddress,
    Small,
    UnixMs,
    VersionResult,
)
from shared.contract.members import DisbandChat, SetChat
from shared.contract.model import JoinPolicy
from shared.contract.session import ChatView, CreateChat, GetChat, Mute, MuteChat, OpenPrivateChat, RenameChat


class OpenResult(msgspec.Struct):
    chat: int


class CreateParameters(Parameters, kw_only=True):
    """An empty `name` is made of the members' nicknames. Under its `nonce` the command may be repeated for ten minutes:
    it gets the first reply."""

    members: list[Account] = msgspec.field(default_factory=list)
    name: GroupName = ""
    avatar: PictureAddress = ""
    join_policy: Literal["open", "approval", "closed"] = "approval"
    nonce: Nonce | None = None


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


def chat_members(view: ChatView, base_url: str) -> tuple[Any, ...]:
    """Of a ChatResult."""
    one = view.chat
    avatar = avatar_of("chat", one.id, one.avatar, one.avatar_hash, base_url)
    members = [int(member) for member in view.members]
    policy = one.join_policy.value
    return (
        one.id, one.kind.value, one.name, avatar, one.owner, policy, one.created, one.version, members, one.receipts,
        one.topic, *muted(view.mute), if_set(one.edit_seconds), if_set(one.recall_seconds), if_set(one.history_for_new),
    )  # fmt: skip


def muted(mute: Mute | None) -> tuple[int | UnsetType, bool | UnsetType]:
    """`muted_until` and `mentions_only` of a chat."""
    return (UNSET, UNSET) if mute is None else (mute.until or UNSET, mute.mentions_only or UNSET)


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
    """`avatar`: an address, as in `set_profile`. An empty `topic`, or `avatar`: none. `join_policy`: as in `create`;
    `closed`: by a link or an invitation alone. `receipts`: members see what the others have read. `edit_s`, `recall_s`:
    for so many seconds after a message its sender may edit or recall it, 0: never; null: as long as the server allows,
    and never longer. `history_for_new`: who joins from now on sees the messages from before; null: in an open group.
    What is left out stays, and null of the others."""

    name: GroupName | None = None
    receipts: bool | None = None
    avatar: PictureAddress | None = None
    topic: MessageText | None = None
    join_policy: Literal["open", "approval", "closed"] | None = None
    edit_s: Small | UnsetType | None = UNSET
    recall_s: Small | UnsetType | None = UNSET
    history_for_new: bool | UnsetType | None = UNSET


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
    changed.edit_seconds, changed.recall_seconds = wire.edit_s, wire.recall_s
    changed.history_for_new = wire.history_for_new
    if changed == SetChat(changed.chat):
        raise DecodeError("there is nothing to change", field="name")
    if isinstance(changed.name, str) and changed == SetChat(changed.chat, changed.name):
        return RenameChat(changed.chat, changed.name)
    return changed


class MuteParameters(ChatParameters, kw_only=True):
    """`until`: clients alert of no message before this time (Unix milliseconds); 0: of all. `mentions_only`: of those
    alone that mention the account."""

    until: UnixMs
    mentions_only: bool = False


CHAT_OPERATIONS = (
    Operation(
        "open", "find or create the private chat with an account",
        WRITE, SENDS, AccountParameters, OpenResult, lambda wire, _: OpenPrivateChat(wire.account),
    ),
    Operation("create", "create a group", WRITE, MANAGES, CreateParameters, ChatResult, _create, _chat),
    Operation(
        "chat", "a chat and its members",
        READ, READS, ChatParameters, ChatResult, lambda wire, _: GetChat(wire.chat), _chat,
    ),
    Operation(
        "set_chat", "change a group: its name, picture and topic, who may join, and what members may do and see",
        WRITE, MANAGES, SetChatParameters, VersionResult, _set_chat,
    ),
    Operation(
        "mute", "be alerted of no messages of a chat until a time, or of mentions alone",
        WRITE, MANAGES, MuteParameters, Nothing, lambda wire, _: MuteChat(wire.chat, wire.until, wire.mentions_only),
    ),
    Operation(
        "disband", "end a group for all members",
        WRITE, MANAGES, ChatParameters, VersionResult, lambda wire, _: DisbandChat(wire.chat),
    ),
)  # fmt: skip
