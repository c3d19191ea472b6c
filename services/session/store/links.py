"""Links by which accounts join a group. They outlive the role of who made them."""

import sqlalchemy as sa

from services.session import domain
from services.session.domain import ALWAYS
from services.session.store.memberships import StartedJoin, admit, is_joining, lock_group, lock_managed_group
from services.session.store.sql import role_of
from services.session.tables import link
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.invitations import CreateLink, DeleteLink, InvitationLink, InvitationLinks, JoinByLink, ListLinks
from shared.settings import LimitsSettings

_IS_LEFT = sa.or_(link.c.uses.is_(None), link.c.uses > 0)


def create(
    connection: sa.Connection, request: CreateLink, code: str, limits: LimitsSettings, now: int
) -> InvitationLink:
    """`code`: the secret part. Deletes links that cannot be used any more. Raises RequestError."""
    group = lock_managed_group(connection, request.chat, request.actor)
    own = link.c.chat == group.id
    connection.execute(sa.delete(link).where(own, sa.or_(link.c.expires <= now, ~_IS_LEFT)))
    count = connection.execute(sa.select(sa.func.count()).where(own)).scalar_one()
    domain.check_link_count(count, limits)
    values = {"chat": group.id, "by": request.actor, "uses": request.uses or None, "created": now}
    connection.execute(sa.insert(link).values(link=code, expires=request.expires or ALWAYS, **values))
    return InvitationLink(code, request.actor, request.uses, request.expires)


def list_links(connection: sa.Connection, request: ListLinks, now: int) -> InvitationLinks:
    """Raises RequestError."""
    domain.check_can_manage(role_of(connection, request.chat, request.actor))
    columns = (link.c.link, link.c.by, link.c.uses, link.c.expires)
    found = sa.select(*columns).where(link.c.chat == request.chat, link.c.expires > now, _IS_LEFT)
    rows = connection.execute(found.order_by(link.c.created, link.c.link))
    return InvitationLinks([_link(*row) for row in rows])


def delete(connection: sa.Connection, request: DeleteLink) -> None:
    """Raises RequestError."""
    group = lock_managed_group(connection, request.chat, request.actor)
    connection.execute(sa.delete(link).where(link.c.link == request.link, link.c.chat == group.id))


def chat_of(connection: sa.Connection, code: str, now: int) -> ChatId:
    """Raises RequestError."""
    found = sa.select(link.c.chat).where(link.c.link == code, link.c.expires > now, _IS_LEFT)
    chat = connection.execute(found).scalar_one_or_none()
    if chat is None:
        raise _no_link()
    return ChatId(chat)


def join(
    connection: sa.Connection, request: JoinByLink, chat: ChatId, head: int, limits: LimitsSettings, now: int
) -> StartedJoin:
    """`chat`: that of the link; `head` as in `memberships`. Raises RequestError; the link then is not used."""
    group = lock_group(connection, chat)
    if is_joining(connection, group, request.actor):
        return StartedJoin(group.version, group.name)
    usable = sa.and_(link.c.link == request.link, link.c.expires > now, _IS_LEFT)
    if connection.execute(sa.update(link).where(usable).values(uses=link.c.uses - 1)).rowcount == 0:
        raise _no_link()
    return admit(connection, group, request.actor, head, limits, now)


def _link(code: str, by: int, uses: int | None, expires: int) -> InvitationLink:
    return InvitationLink(code, AccountId(by), uses or 0, 0 if expires == ALWAYS else expires)


def _no_link() -> RequestError:
    return RequestError(ErrorCode.NOT_FOUND, "this link cannot be used any more", "link")
