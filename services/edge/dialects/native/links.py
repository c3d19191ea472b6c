"""native, server to client: links by which others join a group."""

import msgspec
from msgspec import UNSET, UnsetType


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
