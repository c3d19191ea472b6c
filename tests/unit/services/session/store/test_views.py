"""Tests chats with the profile summaries of their members, on both databases."""

from functools import partial

import pytest
import sqlalchemy as sa

from services.session.domain import LOBBY
from services.session.store import views
from shared.contract.ids import AccountId, ChatId
from shared.contract.session import ChatViews
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, EVE, StoreHarness

ACCOUNTS = [ANN, BOB, CEM, DAN, EVE]


@pytest.fixture
async def populated(store: StoreHarness) -> StoreHarness:
    await store.add_profiles(*ACCOUNTS)
    return store


async def page(store: StoreHarness, account: AccountId, after: int = 0, most: int = 100) -> ChatViews:
    return await store.database.read(partial(views.list_chat_views, account=account, after=ChatId(after), limit=most))


def names(found: ChatViews) -> list[list[str]]:
    return [[summary.nickname.removeprefix("name ") for summary in one.members] for one in found.chats]


async def test_members_of_a_view_are_owner_first_then_by_seat(populated: StoreHarness) -> None:
    chat = await populated.create_group(CEM, EVE, ANN, BOB)
    await populated.leave_all_chats(CEM)
    found = await page(populated, BOB)
    assert names(found) == [["5", "1", "2"]]
    assert found.chats[0].chat == await populated.chat(chat.id, BOB)
    assert found.chats[0].members[0].uuid == "uuid-5"


async def test_members_of_a_view_are_limited_after_departures(populated: StoreHarness) -> None:
    await populated.create_group(CEM, ANN, EVE, DAN, BOB)
    assert names(await page(populated, BOB, most=3)) == [["3", "1", "5"]]
    for account in (ANN, EVE):
        await populated.leave_all_chats(account)
    assert names(await page(populated, BOB, most=3)) == [["3", "4", "2"]]
    assert names(await page(populated, BOB, most=2)) == [["3", "4"]]


async def test_pages_are_limited_in_chats_and_summaries(
    populated: StoreHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "_SUMMARIES", 4)
    monkeypatch.setattr(views, "_CHATS", 3)
    members = [[ANN, BOB], [ANN, CEM], ACCOUNTS, [ANN], [ANN], [ANN], [ANN]]
    numbers = [(await populated.create_group(*some)).id for some in members]
    listed, after, counts = list[ChatId](), 0, list[int]()
    while True:
        found = await page(populated, ANN, after)
        counts.append(len(found.chats))
        listed += [one.chat.id for one in found.chats]
        after = listed[-1]
        if not found.more:
            break
    assert (listed, counts) == (numbers, [2, 1, 3, 1])


async def test_lobby_is_listed_once_its_join_is_finished(populated: StoreHarness) -> None:
    for account in (BOB, ANN):
        await populated.join_lobby(account)
    assert names(await page(populated, ANN)) == []
    await populated.finish_join(ANN)
    found = await page(populated, ANN)
    assert (names(found), found.chats[0].chat.id) == ([["2", "1"]], LOBBY)


async def test_number_of_queries_does_not_grow_with_the_chats(populated: StoreHarness) -> None:
    def count(connection: sa.Connection) -> tuple[int, int]:
        statements: list[object] = []
        sa.event.listen(connection, "before_cursor_execute", lambda *_: statements.append(_))
        return len(views.list_chat_views(connection, ANN, ChatId(0), 100).chats), len(statements)

    await populated.create_group(ANN, BOB)
    one = await populated.database.read(count)
    for _ in range(9):
        await populated.create_group(ANN, BOB, CEM)
    many = await populated.database.read(count)
    assert (one[0], many[0]) == (1, 10)
    assert 0 < one[1] == many[1]
