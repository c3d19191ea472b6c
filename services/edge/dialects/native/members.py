"""The dialect native: the operations of the members of groups: joining, links, bans, roles."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.dialects.base import DecodeError
from services.edge.dialects.native.encode import ROLES, avatar_of
from services.edge.dialects.native.operation import EXPENSIVE, MANAGES, READ, READS, WRITE, Caller, Operation
from services.edge.dialects.native.shapes import (
    Account,
    AnyAccount,
    ChatParameters,
    Index,
    KeyText,
    MemberParameters,
    MessageText,
    NextAfter,
    Nonce,
    Nothing,
    Parameters,
    SparseResult,
    UnixMs,
    VersionResult,
    next_after,
)
from shared.contract.errors import Reason
from shared.contract.ids import NO_ACCOUNT
from shared.contract.members import (
    MAX_ADDED,
    AddMember,
    AddMembers,
    AnswerMembership,
    BanMember,
    ChangeModes,
    CreateLink,
    DeleteLink,
    EndMembership,
    JoinByLink,
    ListBans,
    ListLinks,
    ListMasks,
    ListMembers,
    MemberList,
    MemberRole,
    MembersAdded,
    ModeChange,
    RequestMembership,
    SetRole,
    SilenceMember,
    UnbanMember,
)
from shared.contract.model import Role
from shared.contract.session import ChatVersion

_COUNT = 20

# Joining


class JoinParameters(ChatParameters, kw_only=True):
    text: MessageText = ""


class JoinResult(SparseResult):
    """If `joined` is false, the owner or an admin of the group must answer first, and `name` is empty. `version`: the
    chat's version, if the account has joined."""

    joined: bool
    name: str
    version: int | UnsetType = UNSET


class AnswerJoinParameters(ChatParameters, kw_only=True):
    account: Account
    accept: bool


class InviteParameters(ChatParameters, kw_only=True):
    """The command has either `account` or `accounts`."""

    account: Account | None = None
    accounts: Annotated[list[Account], msgspec.Meta(max_length=MAX_ADDED)] = msgspec.field(default_factory=list)


class InviteResult(msgspec.Struct):
    """The reply to a command with `accounts`. `added`: the accounts that are members now, in the order of the command.
    Some of them were members before. `rejected`: all other accounts, each with the error code that a command for this
    account alone would get."""

    version: int | UnsetType = UNSET
    added: list[int] | UnsetType = UNSET
    rejected: dict[int, str] | UnsetType = UNSET


def _invite(wire: InviteParameters, _: Caller) -> AddMember | AddMembers:
    if (wire.account is None) is not bool(wire.accounts):
        raise DecodeError("either `account` or `accounts` names the new members", field="accounts")
    if wire.account is not None:
        return AddMember(wire.chat, wire.account)
    return AddMembers(wire.chat, [*dict.fromkeys(wire.accounts)])


def _invited(reply: ChatVersion | MembersAdded, _: Caller) -> InviteResult:
    if isinstance(reply, ChatVersion):
        return InviteResult(reply.version or UNSET)
    rejected = {int(account): failure.code.value for account, failure in reply.rejected.items()}
    return InviteResult(reply.version, [*reply.added], rejected)


class LinkParameters(ChatParameters, kw_only=True):
    """`uses`: how many accounts may join. Without it, there is no limit. `expires`: Unix milliseconds. Without it, the
    link never expires. `nonce`: see `create`."""

    uses: Index = 0
    expires: UnixMs = 0
    nonce: Nonce | None = None


class InvitationResult(SparseResult):
    """`link`: a secret, with which any account can join by `join_link`. `by`: the account that made the link. `uses`:
    how many accounts may still join. Without it, there is no limit. `expires`: Unix milliseconds. Without it, the link
    never expires. `paused`: whether the link does not work at present, because `by` may not manage the group."""

    link: str
    by: int
    uses: int | UnsetType = UNSET
    expires: int | UnsetType = UNSET
    paused: bool | UnsetType = UNSET


class InvitationsResult(msgspec.Struct):
    """The links of the group, oldest first."""

    links: list[InvitationResult]


class UnlinkParameters(ChatParameters, kw_only=True):
    link: KeyText


class JoinLinkParameters(Parameters, kw_only=True):
    link: KeyText


class JoinLinkResult(SparseResult):
    """`version`: the chat's version."""

    chat: int
    name: str
    version: int | UnsetType = UNSET


# The following operations change the members of a group and their roles.


class BanParameters(MemberParameters, kw_only=True):
    """`until`: when the ban ends, in Unix milliseconds. Without it, the ban does not end."""

    until: UnixMs = 0


class BanInfo(SparseResult):
    """`by`: the account that made the ban. `until`: when the ban ends, in Unix milliseconds. Without it, the ban does
    not end."""

    account: int
    by: int
    until: int | UnsetType = UNSET


class BansResult(msgspec.Struct):
    bans: list[BanInfo]


class SilenceParameters(ChatParameters, kw_only=True):
    """Without `account`, all members except the owner and the admins are silenced. `until`: when the silence ends, in
    Unix milliseconds. With 0, it ends now."""

    until: UnixMs
    account: AnyAccount = NO_ACCOUNT


class ModeChangeInfo(msgspec.Struct):
    """One change of a setting that IRC calls a mode. `b`: `text` is a mask of users who may not join or send, such as
    `*!u12@*`. `e`: a mask of users who may do so in spite of `b`. `I`: a mask of users who may join a closed group.
    `k`: the key for joining. `l`: the most members. `n`: only members may send. `t`: only admins set the topic. `s`:
    the group is not listed. `C`: no CTCP. `v`: `text` is the number of an account that may send in a silenced group."""

    on: bool
    mode: Literal["b", "e", "I", "k", "l", "n", "t", "s", "C", "v"]
    text: Annotated[str, msgspec.Meta(examples=["*!u12@*"])] = ""


class SetModesParameters(ChatParameters, kw_only=True):
    """Either all changes are made or none."""

    changes: Annotated[list[ModeChangeInfo], msgspec.Meta(min_length=1, max_length=50)]


class MasksParameters(ChatParameters, kw_only=True):
    """`mode`: the list, as in `set_modes`."""

    mode: Literal["b", "e", "I"]


class MaskInfo(msgspec.Struct):
    """`by`: who has set the mask, by the name on IRC. `time`: Unix milliseconds."""

    mask: str
    by: str
    time: int


class MasksResult(msgspec.Struct):
    masks: list[MaskInfo]


class RoleParameters(MemberParameters, kw_only=True):
    role: Literal["member", "admin"]


class MembersParameters(ChatParameters, kw_only=True):
    """`after`: the `after` of the previous page or, without that, its last account. `since`: list only accounts that
    have joined or left, or have a new role or silence, after this `version` of the chat. New names and pictures do not
    count. `query`: list only present members whose nickname begins with this text, in upper or lower case. For this,
    one page examines at most 5,000 members. `count`: the most members on the page. Without it, there are as many as
    fit, or 20 with a `query`."""

    after: AnyAccount = NO_ACCOUNT
    since: Index = 0
    query: Annotated[str, msgspec.Meta(max_length=64, examples=["an"])] = ""
    count: Annotated[int, msgspec.Meta(ge=1, le=_COUNT, examples=[10])] | None = None


class MemberInfo(msgspec.Struct):
    """`role`: member, admin or owner. With `since`, it may also be left, for an account that is no longer a member.
    `silenced`: the member may not send before this time (Unix milliseconds). `nickname` and `avatar`: as in `profile`.
    They are left out for past members, and by servers of older versions."""

    account: int
    role: str
    silenced: int | UnsetType = UNSET
    nickname: str | UnsetType = UNSET
    avatar: str | UnsetType = UNSET


class MembersResult(SparseResult):
    """`silenced`: until when all members except the owner and the admins are silenced. `version`: the chat's version.
    Servers of older versions leave it out. `since`: as in the command. With it, the page has only members that have
    changed after this version."""

    members: list[MemberInfo]
    more: bool
    silenced: int | UnsetType = UNSET
    version: int | UnsetType = UNSET
    since: int | UnsetType = UNSET
    after: int | UnsetType = UNSET
    next: NextAfter | UnsetType = UNSET


def _kick(wire: MemberParameters, caller: Caller) -> EndMembership:
    if wire.account == caller.account:
        raise DecodeError("use `leave` to end your own membership", field="account", reason=Reason.CHOICE)
    return EndMembership(wire.chat, wire.account)


def _list_members(wire: MembersParameters, _: Caller) -> ListMembers:
    count = wire.count or (_COUNT if wire.query else 0)
    return ListMembers(wire.chat, wire.after, since=wire.since, query=wire.query, count=count)


def _members(page: MemberList, caller: Caller) -> MembersResult:
    listed = [_member(one, caller.base_url) for one in page.members]
    last = page.after or (listed[-1].account if listed else NO_ACCOUNT)
    following = next_after(last, more=page.more)
    return MembersResult(listed, page.more, page.silenced, page.version, page.since, page.after, following)


def _member(one: MemberRole, base_url: str) -> MemberInfo:
    role, silenced = ROLES[one.role], one.silenced or UNSET
    if one.nickname is None:
        return MemberInfo(one.account, role, silenced)
    return MemberInfo(
        one.account, role, silenced, one.nickname, avatar_of("account", one.account, one.avatar, "", base_url)
    )


MEMBER_OPERATIONS = (
    Operation(
        "join", "join an open group, or ask to join",
        WRITE, MANAGES, JoinParameters, JoinResult, lambda wire, _: RequestMembership(wire.chat, wire.text),
    ),
    Operation(
        "answer_join", "answer a request to join", WRITE, MANAGES, AnswerJoinParameters, VersionResult,
        lambda wire, _: AnswerMembership(wire.chat, wire.account, wire.accept),
    ),
    Operation(
        "invite", "add friends, or applicants, to a group",
        WRITE, MANAGES, InviteParameters, InviteResult, _invite, _invited,
    ),
    Operation(
        "link", "create a link by which others join a group", WRITE, MANAGES, LinkParameters, InvitationResult,
        lambda wire, _: CreateLink(wire.chat, wire.uses, wire.expires, nonce=wire.nonce or ""),
    ),
    Operation(
        "links", "list the links of a group",
        READ, MANAGES, ChatParameters, InvitationsResult, lambda wire, _: ListLinks(wire.chat),
    ),
    Operation(
        "unlink", "delete a link",
        WRITE, MANAGES, UnlinkParameters, Nothing, lambda wire, _: DeleteLink(wire.chat, wire.link),
    ),
    Operation(
        "join_link", "join a group by a link",
        EXPENSIVE, MANAGES, JoinLinkParameters, JoinLinkResult, lambda wire, _: JoinByLink(wire.link),
    ),
    Operation(
        "leave", "leave a group", WRITE, MANAGES, ChatParameters, VersionResult,
        lambda wire, caller: EndMembership(wire.chat, caller.account),
    ),
    Operation("kick", "remove a member from a group", WRITE, MANAGES, MemberParameters, VersionResult, _kick),
    Operation(
        "ban", "ban an account from a group", WRITE, MANAGES, BanParameters, VersionResult,
        lambda wire, _: BanMember(wire.chat, wire.account, wire.until),
    ),
    Operation(
        "unban", "end a ban",
        WRITE, MANAGES, MemberParameters, VersionResult, lambda wire, _: UnbanMember(wire.chat, wire.account),
    ),
    Operation(
        "bans", "list the banned accounts of a group",
        READ, MANAGES, ChatParameters, BansResult, lambda wire, _: ListBans(wire.chat),
    ),
    Operation(
        "silence", "silence a member, or all, until a time", WRITE, MANAGES, SilenceParameters, VersionResult,
        lambda wire, _: SilenceMember(wire.chat, wire.account, wire.until),
    ),
    Operation(
        "set_modes", "change the modes and masks of a group, as on IRC",
        WRITE, MANAGES, SetModesParameters, VersionResult,
        lambda wire, _: ChangeModes(wire.chat, [ModeChange(one.on, one.mode, one.text) for one in wire.changes]),
    ),
    Operation(
        "masks", "list masks of a group", READ, MANAGES, MasksParameters, MasksResult,
        lambda wire, _: ListMasks(wire.chat, wire.mode),
        lambda reply, _: MasksResult([MaskInfo(one.mask, one.by, one.created) for one in reply.masks]),
    ),
    Operation(
        "members", "list the members of a chat, with roles and names", READ, READS, MembersParameters, MembersResult,
        _list_members, _members,
    ),
    Operation(
        "role", "make a member an admin, or an admin a member", WRITE, MANAGES, RoleParameters, VersionResult,
        lambda wire, _: SetRole(wire.chat, wire.account, Role.ADMIN if wire.role == "admin" else Role.MEMBER),
    ),
    Operation(
        "transfer", "make a member the owner of a group", WRITE, MANAGES, MemberParameters, VersionResult,
        lambda wire, _: SetRole(wire.chat, wire.account, Role.OWNER),
    ),
)  # fmt: skip
