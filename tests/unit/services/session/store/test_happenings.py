"""Tests the history of events in groups, such as joins and new names, on both databases."""

from functools import partial

import pytest
import sqlalchemy as sa

from services.session.store import chats, departures, happenings, irc
from services.session.tables import happening
from shared.contract.errors import ErrorCode
from shared.contract.happenings import Happening, HappeningKind, ListHappenings
from shared.contract.ids import AccountId, ChatId
from shared.contract.members import ChangeModes, EndMembership, ModeChange
from shared.contract.model import JoinPolicy
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, StoreHarness, rejection

_END = 2**53
_MANY = 1_000


@pytest.fixture
async def group(populated: StoreHarness) -> ChatId:
    """Ann's group, of which Bob is a member."""
    return (await populated.create_group(ANN, BOB, join_policy=JoinPolicy.OPEN)).id


async def listed(
    store: StoreHarness,
    chat: ChatId,
    actor: AccountId = ANN,
    after: int = 0,
    before: int = _END,
    *,
    newest: bool = False,
) -> list[Happening]:
    request = ListHappenings(chat, after, before, 9, newest, actor=actor)
    return await store.database.read(happenings.list_happenings, request, 2 if newest else 9)


async def set_topic(store: StoreHarness, chat: ChatId, text: str) -> int:
    values = {"topic": text}
    changed = await store.database.write(
        partial(chats.set_chat, number=chat, actor=ANN, values=values, now=store.now, broadcast_from=_MANY)
    )
    return changed.chat.topic_time


async def join(store: StoreHarness, chat: ChatId, account: AccountId, unread_from: int = 1) -> None:
    await store.request_membership(account, chat)
    await store.finish_join(account, unread_from, chat)


async def leave(store: StoreHarness, chat: ChatId, account: AccountId, actor: AccountId, reason: str = "") -> int:
    request = EndMembership(chat, account, actor=actor, reason=reason)
    return (await store.database.write(departures.end_membership, request, store.now, _MANY)).time


async def test_each_has_a_time_of_its_own(populated: StoreHarness, group: ChatId) -> None:
    first, second = await set_topic(populated, group, "a"), await set_topic(populated, group, "b")
    change = ChangeModes(group, [ModeChange(True, "m"), ModeChange(True, "k", "secret")], actor=ANN)
    changed = await populated.database.write(irc.change_modes, change, populated.now, _MANY, "irc.example")
    assert first < second < changed.time
    assert await listed(populated, group) == [
        Happening(first, HappeningKind.TOPIC, ANN, text="a"),
        Happening(second, HappeningKind.TOPIC, ANN, text="b"),
        Happening(
            changed.time, HappeningKind.MODES, ANN, changes=[ModeChange(True, "m"), ModeChange(True, "k", "*")]
        ),
    ]  # fmt: skip
    assert [one.time for one in await listed(populated, group, newest=True)] == [second, changed.time]
    assert [one.time for one in await listed(populated, group, after=first, before=changed.time)] == [second]
    await populated.database.write(happenings.expire, changed.time, 1)
    assert [one.time for one in await listed(populated, group)] == [second, changed.time]
    await populated.database.write(happenings.expire, changed.time, 9)
    assert [one.time for one in await listed(populated, group)] == [changed.time]


async def test_joins_and_departures_are_listed_for_members(populated: StoreHarness, group: ChatId) -> None:
    await set_topic(populated, group, "before")
    await join(populated, group, CEM)
    left = await leave(populated, group, BOB, BOB, "bye")
    await join(populated, group, DAN)
    removed = await leave(populated, group, DAN, ANN)
    await populated.ban(ANN, group, CEM)
    found = await listed(populated, group)
    kinds = [(one.kind, one.by, one.account, one.text) for one in found[1:]]
    joined, leaves = HappeningKind.JOIN, HappeningKind.LEAVE
    assert kinds == [
        (joined, CEM, CEM, ""), (leaves, BOB, BOB, "bye"), (joined, DAN, DAN, ""), (leaves, ANN, DAN, ""),
        (leaves, ANN, CEM, ""),
    ]  # fmt: skip
    assert [found[2].time, found[4].time] == [left, removed]
    for stranger in (BOB, CEM):
        assert (await rejection(listed(populated, group, stranger))).code is ErrorCode.FORBIDDEN


@pytest.mark.parametrize("unread_from", [1, 7])
async def test_a_member_that_does_not_see_earlier_messages_sees_nothing_from_before_its_join(
    populated: StoreHarness, unread_from: int
) -> None:
    """Also if the group has no messages yet."""
    chat = (await populated.create_group(ANN, BOB, join_policy=JoinPolicy.OPEN)).id
    values = {"history_for_new": False}
    await populated.database.write(
        partial(chats.set_chat, number=chat, actor=ANN, values=values, now=populated.now, broadcast_from=_MANY)
    )
    await set_topic(populated, chat, "before")
    await join(populated, chat, CEM, unread_from)
    await set_topic(populated, chat, "after")
    assert [one.text for one in await listed(populated, chat, CEM)] == ["", "after"]
    assert [one.text for one in await listed(populated, chat, BOB)] == ["before", "", "after"]


async def test_nothing_is_seen_before_the_join_is_finished(populated: StoreHarness, group: ChatId) -> None:
    await set_topic(populated, group, "before")
    await populated.request_membership(CEM, group)
    assert await listed(populated, group, CEM) == []
    await populated.finish_join(CEM, 1, group)
    assert [one.text for one in await listed(populated, group, CEM)] == ["before", ""]


async def test_the_end_of_a_group_deletes_them(populated: StoreHarness, group: ChatId) -> None:
    await set_topic(populated, group, "a")
    await populated.disband(ANN, group)
    other = (await populated.create_group(ANN, join_policy=JoinPolicy.OPEN)).id
    await set_topic(populated, other, "a")
    assert await leave(populated, other, ANN, ANN) == 0
    kept = sa.select(sa.func.count()).select_from(happening)
    assert await populated.database.read(lambda connection: connection.execute(kept).scalar_one()) == 0
