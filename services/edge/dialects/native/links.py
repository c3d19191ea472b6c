"""native, server to client: links by which others join a group."""

import msgspec
from msgspec import UNSET, UnsetType

from shared.contract.invitations import InvitationLink, InvitationLinks, JoinedByLink


class InvitationResult(msgspec.Struct):
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


class JoinLinkResult(msgspec.Struct):
    """`version`: the chat's."""

    chat: int
    name: str
    version: int | UnsetType = UNSET


def result(reply: InvitationLink | InvitationLinks | JoinedByLink) -> msgspec.Struct:
    match reply:
        case InvitationLink():
            return _info(reply)
        case InvitationLinks(links):
            return InvitationsResult([*map(_info, links)])
        case JoinedByLink(chat, name, version):
            return JoinLinkResult(chat, name, version or UNSET)


def _info(one: InvitationLink) -> InvitationResult:
    return InvitationResult(one.link, one.by, one.uses or UNSET, one.expires or UNSET, one.paused or UNSET)
