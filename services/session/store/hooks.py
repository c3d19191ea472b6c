"""Incoming webhooks, by which programs post to a group. Of a secret, its digest alone is stored. They act while their
makers manage the group."""

from typing import NamedTuple

import sqlalchemy as sa

from services.session import domain
from services.session.store import profiles
from services.session.store.memberships import lock_managed_group
from services.session.store.sql import is_managed_by_maker, role_of
from services.session.tables import hook
from shared.contract.bots import CreatedBot
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.hooks import CreateHook, DeleteHook, FoundHook, HookList, HookView, ListHooks
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.session import EnsureProfile
from shared.settings.limits import GroupLimits


class NewIncomingHook(NamedTuple):
    """`hook` names it; `account` posts its messages."""

    hook: str
    digest: str
    account: CreatedBot


def check_place(connection: sa.Connection, request: CreateHook, limits: GroupLimits) -> None:
    """Raises RequestError unless the actor may make one more."""
    domain.check_can_manage(role_of(connection, request.chat, request.actor))
    count = connection.execute(sa.select(sa.func.count()).where(hook.c.chat == request.chat)).scalar_one()
    domain.check_count(count, limits.hooks_per_group, "a group has at most {} hooks", "chat")


def create(
    connection: sa.Connection, request: CreateHook, new: NewIncomingHook, limits: GroupLimits, now: int
) -> AccountId:
    """Returns the account of the hook. Raises RequestError."""
    group = lock_managed_group(connection, request.chat, request.actor)
    check_place(connection, request, limits)
    values = {"chat": group.id, "by": request.actor, "name": request.name, "created": now}
    connection.execute(sa.insert(hook).values(hook=new.hook, digest=new.digest, **values))
    return give_account(connection, new.hook, new.account, request.actor, now)


def give_account(connection: sa.Connection, number: str, account: CreatedBot, maker: AccountId, now: int) -> AccountId:
    """Returns the account of the hook: this one, unless it has got another."""
    missing = sa.and_(hook.c.hook == number, hook.c.account.is_(None))
    if connection.execute(sa.update(hook).where(missing).values(account=account.account)).rowcount:
        seed = EnsureProfile(
            account=account.account, uuid=account.uuid, nickname=account.nickname, signature=signature_of(maker),
            created=account.created, bot=True,
        )  # fmt: skip
        profiles.add_profile(connection, seed, now)
    found = connection.execute(sa.select(hook.c.account).where(hook.c.hook == number)).scalar_one_or_none()
    return AccountId(found or NO_ACCOUNT)


def signature_of(maker: AccountId) -> str:
    """Of the profile of a hook, in which every dialect shows who has made it."""
    return f"webhook · {maker:010d}"


def list_hooks(connection: sa.Connection, request: ListHooks) -> HookList:
    """Raises RequestError."""
    domain.check_can_manage(role_of(connection, request.chat, request.actor))
    account = sa.func.coalesce(hook.c.account, NO_ACCOUNT)
    fields = hook.c.hook, hook.c.name, hook.c.by, hook.c.created, ~is_managed_by_maker(hook), account
    found = sa.select(*fields).where(hook.c.chat == request.chat).order_by(hook.c.created, hook.c.hook)
    rows = connection.execute(found)
    return HookList([HookView(number, name, AccountId(by), *rest) for number, name, by, *rest in rows])


def delete(connection: sa.Connection, request: DeleteHook) -> None:
    """Raises RequestError."""
    group = lock_managed_group(connection, request.chat, request.actor)
    connection.execute(sa.delete(hook).where(hook.c.hook == request.hook, hook.c.chat == group.id))


def delete_of_chat(connection: sa.Connection, chat: ChatId) -> None:
    connection.execute(sa.delete(hook).where(hook.c.chat == chat))


def delete_of_member(connection: sa.Connection, account: AccountId, chats: list[ChatId]) -> None:
    connection.execute(sa.delete(hook).where(hook.c.by == account, hook.c.chat.in_(chats)))


def delete_of_account(connection: sa.Connection, account: AccountId) -> None:
    """Also those that the account posts for."""
    connection.execute(sa.delete(hook).where(sa.or_(hook.c.by == account, hook.c.account == account)))


def find(connection: sa.Connection, digest: str) -> FoundHook:
    """Raises RequestError, also if the maker may not manage the group any more."""
    fields = hook.c.hook, hook.c.chat, hook.c.name, hook.c.by, hook.c.account, is_managed_by_maker(hook).label("acts")
    row = connection.execute(sa.select(*fields).where(hook.c.digest == digest)).one_or_none()
    if row is None:
        raise RequestError(ErrorCode.NOT_FOUND, "there is no such hook")
    if not row.acts:
        raise paused_hook()
    return FoundHook(row.hook, ChatId(row.chat), row.name, AccountId(row.by), AccountId(row.account or NO_ACCOUNT))


def paused_hook() -> RequestError:
    """The same for a maker that is demoted and one that is disabled, and for a disabled account of the hook."""
    return RequestError(ErrorCode.FORBIDDEN, "this hook, or who made it, may not post to the group now")
