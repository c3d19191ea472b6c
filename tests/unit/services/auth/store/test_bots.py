"""Acts on bots at the same time, on SQLite and PostgreSQL."""

import asyncio
from collections.abc import Awaitable
from functools import partial

from services.auth.store import accounts as store
from services.auth.store import bots
from services.auth.store.bots import NewBot, NewBotToken
from shared.contract.admin import Act
from shared.contract.bots import BotTokenView
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId
from shared.database import Database, DatabaseUnavailable
from tests.unit.services.auth.conftest import ON_BOTH
from tests.unit.services.auth.store.test_accounts import NOW, UUID, made

pytestmark = ON_BOTH

SECONDS = NOW // 1000
BOTS = 8


async def bot_with_tokens(database: Database, owner: AccountId, number: int) -> AccountId:
    new = NewBot(owner, f"{UUID[:-2]}{number:02d}", "bot", NOW, BOTS, Act("create bot"))
    bot = (await database.write(partial(bots.create, new=new))).account
    for name in "ab":
        view = BotTokenView(f"{name}{number}", name, ["send"], NOW, SECONDS + 100)
        token = NewBotToken(view, 0, 2, SECONDS, Act("create bot token"))
        await database.write(partial(bots.add_token, bot=bot, owner=owner, new=token))
    return bot


async def test_acts_on_an_account_and_its_bots_do_not_wait_for_each_other(database: Database) -> None:
    """Each act revokes tokens. So it locks the counter of all revocations until it ends."""
    owner = await made(database, uuid=UUID)
    owned = [await bot_with_tokens(database, owner, 10 + number) for number in range(BOTS)]
    running: list[Awaitable[object]] = [
        database.write(partial(bots.revoke_tokens, owner=owner)),
        database.write(partial(store.disable, account=owner, seconds=SECONDS)),
        *(database.write(partial(store.erase, account=one, seconds=SECONDS)) for one in (owner, *reversed(owned))),
    ]
    for at, bot in enumerate(owned):
        running.append(database.write(partial(bots.revoke_token, bot=bot, owner=owner, sid=f"a{10 + at}")))
    results = await asyncio.gather(*running, return_exceptions=True)
    failures = [one for one in results if isinstance(one, BaseException)]
    assert all(isinstance(one, RequestError) for one in failures)
    assert not [one for one in failures if isinstance(one, DatabaseUnavailable)]
