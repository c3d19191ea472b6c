"""Chats with the faces of their members, on both databases."""

from functools import partial

import pytest
import sqlalchemy as sa

from services.session.domain import LOBBY
from services.session.store import views
from shared.contract.ids import AccountId, ChatId
from shared.contract.session import ChatViews
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, EVE, StoreHarness

PEOPLE = [ANN, BOB, CEM, DAN, EVE]


@pytest.fixture
async def people(world: StoreHarness) -> StoreHarness:
    await world.add_profiles(*PEOPLE)
    return world


async def page(world: StoreHarness, account: AccountId, after: int = 0, most: int = 100) -> ChatViews:
    return await world.database.read(partial(views.list_chat_views, account=account, after=ChatId(after), limit=most))


def names(found: ChatViews) -> list[list[str]]:
    return [[face.nickname.removeprefix("name ") for face in one.members] for one in found.chats]


async def test_the_owner_comes_first_then_all_in_order_of_joining(people: StoreHarness) -> None:
    chat = await people.create_group(CEM, EVE, ANN, BOB)
    await people.leave_all_chats(CEM)
    found = await page(people, BOB)
    assert names(found) == [["5", "1", "2"]]
    assert found.chats[0].chat == await people.chat(chat.id, BOB)
    assert found.chats[0].members[0].uuid == "uuid-5"


async def test_no_more_are_listed_than_shall_be_though_some_have_left(people: StoreHarness) -> None:
    await people.create_group(CEM, ANN, EVE, DAN, BOB)
    assert names(await page(people, BOB, most=3)) == [["3", "1", "5"]]
    for account in (ANN, EVE):
        await people.leave_all_chats(account)
    assert names(await page(people, BOB, most=3)) == [["3", "4", "2"]]
    assert names(await page(people, BOB, most=2)) == [["3", "4"]]


async def test_pages_hold_so_many_faces_and_chats(people: StoreHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "_SUMMARIES", 4)
    monkeypatch.setattr(views, "_CHATS", 3)
    members = [[ANN, BOB], [ANN, CEM], PEOPLE, [ANN], [ANN], [ANN], [ANN]]
    numbers = [(await people.create_group(*some)).id for some in members]
    seen, after, counts = list[ChatId](), 0, list[int]()
    while True:
        found = await page(people, ANN, after)
        counts.append(len(found.chats))
        seen += [one.chat.id for one in found.chats]
        after = seen[-1]
        if not found.more:
            break
    assert (seen, counts) == (numbers, [2, 1, 3, 1])


async def test_the_lobby_is_shown_too_once_its_join_is_complete(people: StoreHarness) -> None:
    for account in (BOB, ANN):
        await people.join_lobby(account)
    assert names(await page(people, ANN)) == []
    await people.finish_join(ANN)
    found = await page(people, ANN)
    assert (names(found), found.chats[0].chat.id) == ([["2", "1"]], LOBBY)


async def test_a_page_takes_as_few_queries_as_one_chat(people: StoreHarness) -> None:
    def count(connection: sa.Connection) -> tuple[int, int]:
        statements: list[object] = []
        sa.event.listen(connection, "before_cursor_execute", lambda *_: statements.append(_))
        return len(views.list_chat_views(connection, ANN, ChatId(0), 100).chats), len(statements)

    await people.create_group(ANN, BOB)
    one = await people.database.read(count)
    for _ in range(9):
        await people.create_group(ANN, BOB, CEM)
    many = await people.database.read(count)
    assert (one[0], many[0]) == (1, 10)
    assert 0 < one[1] == many[1]
