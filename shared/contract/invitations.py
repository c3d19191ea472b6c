"""Requests to session: links by which accounts join a group."""

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId


class CreateLink(msgspec.Struct):
    """The owner or an admin of a group makes a link: who has it joins without approval. `uses`: accounts that may join
    by it, 0: any number. `expires`: Unix ms, 0: never. `nonce`: of the client, which may repeat the request under it,
    and gets the first reply; empty: none. Errors: `limit` for too many links of a group, `conflict` for the nonce of
    another request."""

    chat: ChatId
    uses: int = 0
    expires: int = 0
    actor: AccountId = NO_ACCOUNT
    nonce: str = ""


class InvitationLink(msgspec.Struct, frozen=True):
    """`link`: 128 random bits, a secret. `uses`: those that are left, 0: any number; `expires` as in CreateLink.
    `paused`: nobody joins by it, because its maker may not manage the group now."""

    link: str
    by: AccountId
    uses: int = 0
    expires: int = 0
    paused: bool = False

    def __repr__(self) -> str:
        return f"InvitationLink(***, by={self.by})"


class ListLinks(msgspec.Struct):
    """Requests the links of a group that can be used; only the owner and the admins may (`forbidden`)."""

    chat: ChatId
    actor: AccountId = NO_ACCOUNT


class InvitationLinks(msgspec.Struct, frozen=True):
    """Oldest first."""

    links: list[InvitationLink]


class DeleteLink(msgspec.Struct):
    """The owner or an admin deletes a link (idempotent)."""

    chat: ChatId
    link: str
    actor: AccountId = NO_ACCOUNT

    def __repr__(self) -> str:
        return f"DeleteLink({self.chat}, ***)"


class JoinByLink(msgspec.Struct):
    """Joins the group of a link. Errors: `not_found` for one that is unknown, used up, expired or paused, `conflict`
    for a member, `forbidden` for a banned account, `limit` for a full group or too many groups of the actor."""

    link: str
    actor: AccountId = NO_ACCOUNT

    def __repr__(self) -> str:
        return f"JoinByLink(***, actor={self.actor})"


class JoinedByLink(msgspec.Struct, frozen=True):
    """`version`: the chat's; 0: not known."""

    chat: ChatId
    name: str
    version: int = 0
