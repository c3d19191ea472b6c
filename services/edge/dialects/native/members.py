"""native: the operations of the members of groups: joining, links, bans, roles."""

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
    Nonce,
    Nothing,
    Parameters,
    SparseResult,
    UnixMs,
    VersionResult,
)
from shared.contract.ids import NO_ACCOUNT
from shared.contract.members import (
    MAX_ADDED,
    AddMember,
    AddMembers,
    AnswerMembership,
    BanMember,
    CreateLink,
    DeleteLink,
    EndMembership,
    JoinByLink,
    ListBans,
    ListLinks,
    ListMembers,
    MemberList,
    MemberRole,
    MembersAdded,
    RequestMembership,
    SetRole,
    SilenceMember,
    UnbanMember,
)
from shared.contract.model import Role
from shared.contract.session import ChatVersion

# Joining


class JoinParameters(ChatParameters, kw_only=True):
    text: MessageText = ""


class JoinResult(SparseResult):
    """`joined` false: the group's owner or an admin has yet to answer, and `name` is empty. `version`: the chat's, if
    joined."""

    joined: bool
    name: str
    version: int | UnsetType = UNSET


class AnswerJoinParameters(ChatParameters, kw_only=True):
    account: Account
    accept: bool


class InviteParameters(ChatParameters, kw_only=True):
    """Either `account` or `accounts`."""

    account: Account | None = None
    accounts: Annotated[list[Account], msgspec.Meta(max_length=MAX_ADDED)] = msgspec.field(default_factory=list)


class InviteResult(msgspec.Struct):
    """Of `accounts`: `added`: those that are members now, also those that were before, in the order of the command;
    `rejected`: the others, and the code of an error for each, as in the command for one of them."""

    version: int | UnsetType = UNSET
    added: list[int] | UnsetType = UNSET
    rejected: dict[int, str] | UnsetType = UNSET


def _invite(wire: InviteParameters, _: Caller) -> AddMember | AddMembers:
    if (wire.account is None) is not bool(wire.accounts):
        raise DecodeError("either `account` or `accounts` names who is added", field="accounts")
    if wire.account is not None:
        return AddMember(wire.chat, wire.account)
    return AddMembers(wire.chat, [*dict.fromkeys(wire.accounts)])


def _invited(reply: ChatVersion | MembersAdded, _: Caller) -> InviteResult:
    if isinstance(reply, ChatVersion):
        return InviteResult(reply.version or UNSET)
    rejected = {int(account): failure.code.value for account, failure in reply.rejected.items()}
    return InviteResult(reply.version, [*reply.added], rejected)


class LinkParameters(ChatParameters, kw_only=True):
    """`uses`: so many accounts may join; without it, any number. `expires`: Unix milliseconds; without it, never.
    `nonce` as in `create`."""

    uses: Index = 0
    expires: UnixMs = 0
    nonce: Nonce | None = None


class InvitationResult(SparseResult):
    """`link`: a secret, who has it can join by `join_link`. `by`: who made it. `uses`: so many accounts may still join;
    without it, any number. `expires`: Unix milliseconds; without it, never.
    `paused`: nobody joins by it, because who made it may not manage the group now."""

    link: str
    by: int
    uses: int | UnsetType = UNSET
    expires: int | UnsetType = UNSET
    paused: bool | UnsetType = UNSET


class InvitationsResult(msgspec.Struct):
    """Oldest first."""

    links: list[InvitationResult]


class UnlinkParameters(ChatParameters, kw_only=True):
    link: KeyText


class JoinLinkParameters(Parameters, kw_only=True):
    link: KeyText


class JoinLinkResult(SparseResult):
    """`version`: the chat's."""

    chat: int
    name: str
    version: int | UnsetType = UNSET


# Who is in a group, and as what


class BanParameters(MemberParameters, kw_only=True):
    """`until`: Unix milliseconds; without it, the ban does not end."""

    until: UnixMs = 0


class BanInfo(SparseResult):
    """`by`: who banned the account. `until`: Unix milliseconds; without it, the ban does not end."""

    account: int
    by: int
    until: int | UnsetType = UNSET


class BansResult(msgspec.Struct):
    bans: list[BanInfo]


class SilenceParameters(ChatParameters, kw_only=True):
    """Without `account`: all but the owner and the admins. `until`: Unix milliseconds; 0: from now on, the member may
    send again."""

    until: UnixMs
    account: AnyAccount = NO_ACCOUNT


class RoleParameters(MemberParameters, kw_only=True):
    role: Literal["member", "admin"]


class MembersParameters(ChatParameters, kw_only=True):
    """`after`: the last account of the page before. `since`: only members that have joined or left, or have another
    role or silence, after this `version` of the chat; names and pictures do not count."""

    after: AnyAccount = NO_ACCOUNT
    since: Index = 0


class MemberInfo(msgspec.Struct):
    """`role`: member, admin or owner; left: no member any more, among the changes `since` a version alone. `silenced`:
    the member may not send before this time (Unix milliseconds). `nickname` and `avatar`: as in `profile`; left out of
    former members, and while a server of an older version replies."""

    account: int
    role: str
    silenced: int | UnsetType = UNSET
    nickname: str | UnsetType = UNSET
    avatar: str | UnsetType = UNSET


class MembersResult(SparseResult):
    """`more`: request the next page with `after`, the last account. `silenced`: as of a member, for all but the owner
    and the admins. `version`: the chat's; left out while a server of an older version replies. `since`, as in the
    command: these are the members that have changed after this version; without it, these are all members."""

    members: list[MemberInfo]
    more: bool
    silenced: int | UnsetType = UNSET
    version: int | UnsetType = UNSET
    since: int | UnsetType = UNSET


def _kick(wire: MemberParameters, caller: Caller) -> EndMembership:
    if wire.account == caller.account:
        raise DecodeError("`leave` ends the own membership", field="account")
    return EndMembership(wire.chat, wire.account)


def _set_role(wire: RoleParameters, _: Caller) -> SetRole:
    return SetRole(wire.chat, wire.account, Role.ADMIN if wire.role == "admin" else Role.MEMBER)


def _members(page: MemberList, caller: Caller) -> MembersResult:
    listed = [_member(one, caller.base_url) for one in page.members]
    return MembersResult(listed, page.more, page.silenced, page.version, page.since)


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
        "link", "a link by which others join a group", WRITE, MANAGES, LinkParameters, InvitationResult,
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
        "ban", "remove an account from a group, and keep it out", WRITE, MANAGES, BanParameters, VersionResult,
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
        "silence", "let a member, or all, send nothing until a time", WRITE, MANAGES, SilenceParameters, VersionResult,
        lambda wire, _: SilenceMember(wire.chat, wire.account, wire.until),
    ),
    Operation(
        "members", "a page of the members, their roles and names", READ, READS, MembersParameters, MembersResult,
        lambda wire, _: ListMembers(wire.chat, wire.after, since=wire.since), _members,
    ),
    Operation(
        "role", "make a member an admin, or not", WRITE, MANAGES, RoleParameters, VersionResult, _set_role
    ),
    Operation(
        "transfer", "make a member the owner of a group", WRITE, MANAGES, MemberParameters, VersionResult,
        lambda wire, _: SetRole(wire.chat, wire.account, Role.OWNER),
    ),
)  # fmt: skip
