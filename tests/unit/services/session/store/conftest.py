"""The tests of the store run on SQLite and on PostgreSQL."""

from functools import partial

import pytest

from services.session.store import chats
from shared.contract.ids import ChatId
from shared.contract.model import JoinPolicy, Role
from shared.database import Database
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, EVE, NOW, StoreHarness


@pytest.fixture
async def store(database: Database) -> StoreHarness:
    """A store that has the lobby, as in every installation."""
    await database.write(partial(chats.insert_lobby, now=NOW))
    return StoreHarness(database)


@pytest.fixture
async def populated(store: StoreHarness) -> StoreHarness:
    """A store that has the profiles of five accounts."""
    await store.add_profiles(ANN, BOB, CEM, DAN, EVE)
    return store


@pytest.fixture
async def group(populated: StoreHarness) -> ChatId:
    """An open group that Ann owns. Bob is an admin, and Cem is a member."""
    chat = (await populated.create_group(ANN, BOB, CEM, join_policy=JoinPolicy.OPEN)).id
    await populated.set_role(chat, BOB, Role.ADMIN)
    return chat
