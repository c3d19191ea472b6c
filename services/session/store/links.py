"""Links by which accounts join a group. A link is valid while its maker manages the group."""

from typing import NamedTuple

import sqlalchemy as sa

from services.session import domain
from services.session.domain import ALWAYS
from services.session.store.memberships import StartedJoin, admit, is_joining, lock_group, lock_managed_group
from services.session.store.sql import IS_MEMBER, check_room, is_managed_by_maker, role_of
from services.session.tables import link, member
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.members import CreateLink, DeleteLink, InvitationLink, InvitationLinks, JoinByLink, ListLinks
from shared.settings.limits import GroupLimits

_IS_MANAGED = is_managed_by_maker(link)
_IS_LEFT = sa.or_(link.c.uses.is_(None), link.c.uses > 0)


class FoundLink(NamedTuple):
    chat: ChatId
    by: AccountId


def create(connection: sa.Connection, request: CreateLink, code: str, limits: GroupLimits, now: int) -> InvitationLink:
    """Store a link. `code`: the secret part of the link. Links that cannot be used any more are deleted. Raises
    RequestError."""
    group = lock_managed_group(connection, request.chat, request.actor)
    own = link.c.chat == group.id
    connection.execute(sa.delete(link).where(own, sa.or_(link.c.expires <= now, ~_IS_LEFT)))
    check_room(connection, own, limits.links_per_group, "a group has at most {} links", "chat")
    values = {"chat": group.id, "by": request.actor, "uses": request.uses or None, "created": now}
    connection.execute(sa.insert(link).values(link=code, expires=request.expires or ALWAYS, **values))
    return InvitationLink(code, request.actor, request.uses, request.expires)


def list_links(connection: sa.Connection, request: ListLinks, now: int) -> InvitationLinks:
    """Raises RequestError."""
    domain.check_can_manage(role_of(connection, request.chat, request.actor))
    columns = (link.c.link, link.c.by, link.c.uses, link.c.expires, ~_IS_MANAGED)
    found = sa.select(*columns).where(link.c.chat == request.chat, link.c.expires > now, _IS_LEFT)
    rows = connection.execute(found.order_by(link.c.created, link.c.link))
    return InvitationLinks([_link(*row) for row in rows])


def delete(connection: sa.Connection, request: DeleteLink) -> None:
    """Raises RequestError."""
    group = lock_managed_group(connection, request.chat, request.actor)
    connection.execute(sa.delete(link).where(link.c.link == request.link, link.c.chat == group.id))


def find(connection: sa.Connection, code: str, actor: AccountId, now: int) -> FoundLink:
    """Find a link that can be used. A used-up link is also found if the actor is a member, because a repeated request
    may have joined just now. Raises RequestError."""
    is_member = sa.exists().where(member.c.chat == link.c.chat, member.c.account == actor, IS_MEMBER)
    found = sa.select(link.c.chat, link.c.by).where(link.c.link == code, sa.or_(_is_usable(code, now), is_member))
    row = connection.execute(found).one_or_none()
    if row is None:
        raise no_link()
    return FoundLink(ChatId(row.chat), AccountId(row.by))


def join(
    connection: sa.Connection, request: JoinByLink, chat: ChatId, head: int, limits: GroupLimits, now: int
) -> StartedJoin:
    """Join by a link. `chat`: the link's chat. `head`: see `memberships`. Raises RequestError; the link is then not
    used up."""
    group = lock_group(connection, chat)
    if is_joining(connection, group, request.actor):
        return StartedJoin(group.version, group.name)
    usable = _is_usable(request.link, now)
    if connection.execute(sa.update(link).where(usable).values(uses=link.c.uses - 1)).rowcount == 0:
        raise no_link()
    return admit(connection, group, request.actor, head, limits, now)


def _is_usable(code: str, now: int) -> sa.ColumnElement[bool]:
    return sa.and_(link.c.link == code, link.c.expires > now, _IS_LEFT, _IS_MANAGED)


def _link(code: str, by: int, uses: int | None, expires: int, paused: bool) -> InvitationLink:
    return InvitationLink(code, AccountId(by), uses or 0, 0 if expires == ALWAYS else expires, paused)


def no_link() -> RequestError:
    return RequestError(ErrorCode.NOT_FOUND, "this link can no longer be used", "link")
