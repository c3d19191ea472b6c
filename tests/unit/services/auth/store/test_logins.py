"""Logins and tokens that are written after an act has already ended them, on SQLite and PostgreSQL."""

import asyncio
import threading
from functools import partial
from typing import Protocol

import pytest
import sqlalchemy as sa

from services.auth.store import accounts as store
from services.auth.store import bots, logins, revocations
from services.auth.store.bots import NewBot, NewBotToken
from services.auth.store.logins import NewLogin
from services.auth.tables import logins as table
from shared.contract.admin import Act
from shared.contract.auth import LoginView, TokenLogin
from shared.contract.bots import BotTokenView
from shared.contract.errors import RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.database import Database
from tests.support.waiting import WAIT_SECONDS, block_until
from tests.unit.services.auth.conftest import ON_BOTH
from tests.unit.services.auth.store.test_accounts import NOW, UUID, WAITING, made

pytestmark = ON_BOTH

SECONDS = NOW // 1000


class ActStep(Protocol):
    def __call__(self, connection: sa.Connection, account: AccountId) -> None: ...


def disable_for_a_moment(connection: sa.Connection, account: AccountId) -> None:
    store.disable(connection, account, SECONDS)
    store.enable(connection, account)


def disable(connection: sa.Connection, account: AccountId) -> None:
    store.disable(connection, account, SECONDS)


def erase(connection: sa.Connection, account: AccountId) -> None:
    store.erase(connection, account, SECONDS)


@pytest.mark.parametrize("act", [disable_for_a_moment, disable, erase])
async def test_a_login_that_an_act_has_overtaken_leaves_nothing(database: Database, act: ActStep) -> None:
    """The secret of the login was right before the act, but the login would get a time after the act."""
    account = await made(database)
    add = partial(logins.add, account=account, most=0, seconds=SECONDS)
    before = NewLogin(LoginView("s1", NOW + 60_000, SECONDS + 100), revision=0)
    assert await database.write(partial(add, new=before)) == []
    await database.write(partial(act, account=account))
    late = NewLogin(LoginView("s2", NOW + 60_000, SECONDS + 100), revision=0)
    assert await database.write(partial(add, new=late)) is None
    count = sa.select(sa.func.count()).select_from(table)
    assert await database.read(lambda connection: connection.execute(count).scalar_one()) == 0


async def test_a_bot_s_token_that_an_act_has_overtaken_is_rejected(database: Database) -> None:
    bot = NewBot(NO_ACCOUNT, UUID, "bot", NOW, 1, Act("create bot"))
    account = (await database.write(partial(bots.create, new=bot))).account
    await database.write(partial(disable_for_a_moment, account=account))
    view = BotTokenView("s1", "x", ["send"], NOW, SECONDS + 100)
    for revision, accepted in ((0, False), (1, True)):
        new = NewBotToken(token=view, revision=revision, most=9, seconds=SECONDS, act=Act("create bot token"))
        step = partial(bots.add_token, bot=account, owner=None, new=new)
        if accepted:
            await database.write(step)
        else:
            with pytest.raises(RequestError, match="disabled"):
                await database.write(step)


async def refreshed(database: Database) -> list[TokenLogin]:
    """Makes two logins, of which the database finds the second one first, and returns uses of their tokens."""
    account = await made(database)
    for sid in ("s2", "s1"):
        login = NewLogin(LoginView(sid, NOW, SECONDS + 100), revision=0)
        await database.write(partial(logins.add, account=account, new=login, most=0, seconds=SECONDS))
    await database.write(lambda connection: connection.execute(table.update().values(refreshed=NOW)))
    return [TokenLogin(account, "192.0.2.1", sid=sid, issued=SECONDS) for sid in ("s1", "s2")]


@pytest.mark.parametrize("ends", [False, True])
async def test_uses_of_the_same_logins_that_are_noted_at_once_do_not_wait_for_each_other(
    database: Database, ends: bool
) -> None:
    """Nor does the end of all logins of the account."""
    one, other = await refreshed(database)
    began = threading.Event()

    def note(connection: sa.Connection) -> None:
        logins.mark_used(connection, [one])
        began.set()
        if connection.dialect.name == "postgresql":
            block_until(lambda: connection.execute(WAITING).scalar_one() > 0)
        logins.mark_used(connection, [other])

    noting = asyncio.create_task(database.write(note))
    await asyncio.to_thread(began.wait, WAIT_SECONDS)
    if ends:
        await database.write(revocations.revoke, one.account, "", SECONDS)
    else:
        await database.write(logins.mark_used, [other, one])
    await noting
    left = sa.select(table.c.sid).order_by(table.c.sid)
    assert await database.read(lambda connection: [*connection.scalars(left)]) == ([] if ends else ["s1", "s2"])
