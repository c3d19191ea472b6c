"""native, server to client: the results of operations about the members of a group."""

from typing import assert_never

import msgspec
from msgspec import UNSET

from services.edge.dialects.addresses import DisplayedAvatar, displayed_avatar
from services.edge.dialects.native import encode, results
from shared.contract.members import MemberList, MemberRole, MembersAdded, MembershipRequested
from shared.contract.moderation import BanList
from shared.contract.session import ChatVersion

_MembershipReply = ChatVersion | MembershipRequested | MembersAdded | MemberList | BanList


def result(reply: _MembershipReply, base_url: str) -> msgspec.Struct:
    match reply:
        case ChatVersion(version):
            return results.VersionResult(version or UNSET)
        case MembershipRequested(joined, name, version):
            return results.JoinResult(joined, name, version or UNSET)
        case MembersAdded():
            return _invited(reply)
        case MemberList():
            return _members(reply, base_url)
        case BanList(bans):
            return results.BansResult([results.BanInfo(one.account, one.by, one.until or UNSET) for one in bans])
        case _:
            assert_never(reply)


def _invited(reply: MembersAdded) -> results.InviteResult:
    rejected = {int(account): failure.code.value for account, failure in reply.rejected.items()}
    return results.InviteResult(reply.version, [*reply.added], rejected)


def _members(page: MemberList, base_url: str) -> results.MembersResult:
    listed = [_member_info(one, base_url) for one in page.members]
    place = page.version or UNSET, page.since or UNSET
    return results.MembersResult(listed, page.more, page.silenced or UNSET, *place)


def _member_info(one: MemberRole, base_url: str) -> results.MemberInfo:
    role, silenced = encode.ROLES[one.role], one.silenced or UNSET
    if one.nickname is None:
        return results.MemberInfo(one.account, role, silenced)
    stored = DisplayedAvatar(one.avatar, "")
    avatar = displayed_avatar("account", one.account, stored, base_url, own_only=False).avatar
    return results.MemberInfo(one.account, role, silenced, one.nickname, avatar)
