"""Requests to session: links by which accounts join a group."""

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.routes import Ack, Forwarded, Routed


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


class CreateLink(Forwarded):
    """The owner or an admin of a group makes a link: who has it joins without approval. `uses`: accounts that may join
    by it, 0: any number. `expires`: Unix ms, 0: never. `nonce`: of the client, which may repeat the request under it,
    and gets the first reply; empty: none. Errors: `limit` for too many links of a group, `conflict` for the nonce of
    another request."""

    route = Routed("session.create_link", InvitationLink)

    chat: ChatId
    uses: int = 0
    expires: int = 0
    actor: AccountId = NO_ACCOUNT
    nonce: str = ""


class InvitationLinks(msgspec.Struct, frozen=True):
    """Oldest first."""

    links: list[InvitationLink]


class ListLinks(Forwarded):
    """Requests the links of a group that can be used; only the owner and the admins may (`forbidden`)."""

    route = Routed("session.list_links", InvitationLinks, reads=True)

    chat: ChatId
    actor: AccountId = NO_ACCOUNT


class DeleteLink(Forwarded):
    """The owner or an admin deletes a link (idempotent)."""

    route = Routed("session.delete_link", Ack)

    chat: ChatId
    link: str
    actor: AccountId = NO_ACCOUNT

    def __repr__(self) -> str:
        return f"DeleteLink({self.chat}, ***)"


class JoinedByLink(msgspec.Struct, frozen=True):
    """`version`: the chat's; 0: not known."""

    chat: ChatId
    name: str
    version: int = 0


class JoinByLink(Forwarded):
    """Joins the group of a link. Errors: `not_found` for one that is unknown, used up, expired or paused, `conflict`
    for a member, `forbidden` for a banned account, `limit` for a full group or too many groups of the actor."""

    route = Routed("session.join_by_link", JoinedByLink)

    link: str
    actor: AccountId = NO_ACCOUNT

    def __repr__(self) -> str:
        return f"JoinByLink(***, actor={self.actor})"
