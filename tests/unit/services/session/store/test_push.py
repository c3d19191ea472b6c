"""Tests push subscriptions and the two queues of notifications on both databases."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import sqlalchemy as sa

from services.session.push_rules import Notified
from services.session.store import push_queue, push_turns, subscriptions
from services.session.store.push_queue import DueChat
from services.session.store.push_turns import DeviceChat, TurnNote
from services.session.store.subscriptions import NewDevice, PushDevice, RemovedDevice
from services.session.tables.push import push_notification, push_subscription
from shared.contract.errors import ErrorCode, Reason
from shared.contract.ids import AccountId, ChatId
from shared.contract.push import IRC, Subscribe
from tests.unit.services.session.store_harness import ANN, BOB, CEM, NOW, StoreHarness, rejection

_ORIGIN = "https://push.example"
_MOST = 2


async def subscribe(
    store: StoreHarness, account: AccountId, path: str, sid: str = "s", again: bool = False, kind: str = "web"
) -> int:
    request = Subscribe(f"{_ORIGIN}/{path}", "p", "a", kind, sid=sid, again=again, actor=account)
    new = NewDevice(request, _ORIGIN, "key")
    return await store.database.write(partial(subscriptions.subscribe, new=new, most=_MOST, now=NOW))


async def unsubscribe(store: StoreHarness, account: AccountId, number: int, sid: str = "other") -> None:
    removed = RemovedDevice(account, number, sid)
    await store.database.write(partial(subscriptions.delete_own, removed=removed, most=_MOST, now=NOW + number))


async def listed(store: StoreHarness, account: AccountId) -> list[int]:
    found = await store.database.read(partial(subscriptions.list_own, account=account))
    return [one.subscription for one in found]


async def moved(store: StoreHarness, *chats: ChatId, now: int = NOW) -> None:
    await store.database.write(partial(push_queue.note_moved, chats=chats, now=now, due=now + 10))


async def taken(store: StoreHarness, now: int) -> list[DueChat]:
    return await store.database.write(partial(push_queue.take_chats, now=now, until=now + 100, limit=9, most_members=9))


async def finish(store: StoreHarness, one: DueChat, *notified: Notified, due: int | None = None) -> None:
    done = max([one.done, *(each.upto for each in notified)])
    finish = partial(push_queue.finish_chat, one=one, done=done, due=due, notified=notified, now=NOW + 50)
    await store.database.write(finish)


async def devices(store: StoreHarness, now: int, *closed: str) -> list[PushDevice]:
    found = await store.database.read(push_turns.find_devices, now, closed, 9)
    numbers = [one.id for one in found]
    return await store.database.write(push_turns.take_devices, numbers, now, f"l{now}", now + 100)


async def test_an_endpoint_is_one_subscription_of_its_last_user(populated: StoreHarness) -> None:
    first, second = await subscribe(populated, ANN, "a"), await subscribe(populated, ANN, "b")
    assert await subscribe(populated, ANN, "a", sid="later") == first
    failure = await rejection(subscribe(populated, ANN, "c"))
    assert (failure.code, failure.field) == (ErrorCode.LIMIT, "endpoint")
    taken_over = await subscribe(populated, BOB, "b")
    assert (await listed(populated, ANN), await listed(populated, BOB)) == ([first], [taken_over])
    assert taken_over != second, "nothing of the former user is shown"
    assert await populated.database.read(partial(subscriptions.common_origins, most=2)) == [_ORIGIN]
    await populated.database.write(partial(push_queue.remove_of_logins, account=ANN, sids=["s"], now=NOW))
    assert await listed(populated, ANN) == [first], "it is of the later login"
    await unsubscribe(populated, CEM, first)
    await populated.database.write(partial(subscriptions.delete_of_account, account=ANN))
    assert (await listed(populated, ANN), await listed(populated, BOB)) == ([], [taken_over])


async def test_only_its_user_brings_a_device_back_that_another_login_has_removed(populated: StoreHarness) -> None:
    await unsubscribe(populated, BOB, await subscribe(populated, BOB, "a"))
    failure = await rejection(subscribe(populated, BOB, "a", again=True))
    assert (failure.code, failure.reason) == (ErrorCode.FORBIDDEN, Reason.GONE)
    await subscribe(populated, ANN, "a", again=True)
    own = await subscribe(populated, BOB, "a")
    assert await subscribe(populated, BOB, "a", again=True) == own
    await unsubscribe(populated, BOB, own, sid="s")
    await subscribe(populated, BOB, "a", again=True)
    for path in ("a", "b", "c"):
        await unsubscribe(populated, BOB, await subscribe(populated, BOB, path, sid=path))
    await subscribe(populated, BOB, "a", sid="a", again=True)
    assert await rejection(subscribe(populated, BOB, "b", again=True)), "the last two are remembered"
    await populated.database.write(partial(subscriptions.delete_of_account, account=BOB))
    await subscribe(populated, BOB, "c", sid="c", again=True)


async def test_a_removed_device_does_not_come_back_by_itself_with_another_endpoint(populated: StoreHarness) -> None:
    old, new = await subscribe(populated, BOB, "old"), await subscribe(populated, BOB, "new", again=True)
    await unsubscribe(populated, BOB, old)
    assert await subscribe(populated, BOB, "new", again=True) == new, "this endpoint is not removed"
    await unsubscribe(populated, BOB, new, sid="s")
    failure = await rejection(subscribe(populated, BOB, "newer", again=True))
    assert (failure.code, failure.reason) == (ErrorCode.FORBIDDEN, Reason.GONE)
    await subscribe(populated, BOB, "newer", sid="another device", again=True)
    number = await subscribe(populated, BOB, "newest")
    await unsubscribe(populated, BOB, number, sid="s")
    await subscribe(populated, BOB, "old", again=True)


async def test_a_device_of_irc_is_known_by_its_endpoint_alone(populated: StoreHarness) -> None:
    """An IRC client always subscribes by itself.

    If its user turns an endpoint on again, the endpoint has another address.
    """
    await unsubscribe(populated, BOB, await subscribe(populated, BOB, "a", kind=IRC))
    assert await rejection(subscribe(populated, BOB, "a", again=True, kind=IRC))
    await subscribe(populated, BOB, "b", again=True, kind=IRC)


@asynccontextmanager
async def uncommitted(store: StoreHarness, work: Callable[[sa.Connection], object]) -> AsyncIterator[None]:
    """Inside this context, another process has done the work. It commits the work at the end."""
    done, commit = threading.Event(), threading.Event()

    def hold(connection: sa.Connection) -> None:
        work(connection)
        done.set()
        commit.wait()

    held = asyncio.ensure_future(store.database.write(hold))
    await asyncio.to_thread(done.wait)
    try:
        yield
    finally:
        commit.set()
        await held


_WAIT_SECONDS = 0.3
"""The time for work that waits for another process. Without the wait, the work takes less time."""


@pytest.mark.parametrize("path", ["a", "b"])
async def test_a_device_that_subscribes_while_it_is_removed_stays_removed(populated: StoreHarness, path: str) -> None:
    removed = RemovedDevice(BOB, await subscribe(populated, BOB, "a"), "other")
    async with uncommitted(populated, partial(subscriptions.delete_own, removed=removed, most=_MOST, now=NOW)):
        again = asyncio.ensure_future(rejection(subscribe(populated, BOB, path, again=True)))
        await asyncio.wait([again], timeout=_WAIT_SECONDS)
    assert (await again).reason is Reason.GONE
    assert await listed(populated, BOB) == []


async def test_a_device_that_ends_while_a_chat_is_decided_does_not_fail_the_others(populated: StoreHarness) -> None:
    chat = await populated.create_group(ANN, BOB)
    ending, other = await subscribe(populated, BOB, "a"), await subscribe(populated, BOB, "b")
    await moved(populated, chat.id)
    (due,) = await taken(populated, NOW + 10)
    async with uncommitted(populated, partial(push_queue.remove, devices=[ending], now=NOW)):
        decided = asyncio.ensure_future(finish(populated, due, Notified(BOB, 7, NOW + 1, urgent=True)))
        await asyncio.wait([decided], timeout=_WAIT_SECONDS)
    await decided
    assert [one.id for one in await devices(populated, NOW)] == [other]


async def test_a_clock_that_was_ahead_delays_nothing_for_long(populated: StoreHarness) -> None:
    chat = await populated.create_group(ANN, BOB)
    number = await subscribe(populated, BOB, "b")
    await moved(populated, chat.id)
    hour = 3_600_000
    assert await taken(populated, NOW + hour)
    assert await taken(populated, NOW) == []
    await populated.database.write(partial(push_queue.correct_times, now=NOW, most=100))
    (again,) = await taken(populated, NOW)
    await finish(populated, again, Notified(BOB, 7, NOW + 1, urgent=True))
    (device,) = await devices(populated, NOW + hour)
    failed = partial(subscriptions.note_failed, device=device, error="status 403", since=0, due=NOW + hour + 1_000)
    await populated.database.write(failed)
    released = TurnNote(number, lease=f"l{NOW + hour}", due=NOW + hour)
    await populated.database.write(partial(push_turns.note_turns, notes=[released], now=NOW + hour))
    assert await devices(populated, NOW) == []
    await populated.database.write(partial(push_queue.correct_times, now=NOW, most=100))
    assert [one.id for one in await devices(populated, NOW)] == [number]


async def test_a_chat_without_a_device_waits_for_nothing(populated: StoreHarness) -> None:
    one, other = await populated.create_group(ANN, BOB), await populated.create_group(ANN, CEM)
    await subscribe(populated, BOB, "b")
    await moved(populated, one.id, other.id)
    assert [found.chat for found in await taken(populated, NOW)] == [one.id], "at once: it is new here"
    found = await populated.database.read(partial(push_queue.notifying, chats=[one.id, other.id]))
    assert {chat: [member.account for member in view.members] for chat, view in found.items()} == {one.id: [BOB]}


async def test_a_chat_that_moves_while_it_is_decided_is_due_again(populated: StoreHarness) -> None:
    chat = await populated.create_group(ANN, BOB)
    await subscribe(populated, BOB, "b")
    await moved(populated, chat.id)
    (due,) = await taken(populated, NOW + 10)
    assert await taken(populated, NOW + 20) == [], "another process has it"
    await moved(populated, chat.id, now=NOW + 30)
    await finish(populated, due)
    (again,) = await taken(populated, NOW + 50)
    await finish(populated, again)
    assert await taken(populated, NOW + 10_000) == []
    await populated.database.write(partial(push_queue.forget, now=NOW + 8 * 86_400_000))
    await moved(populated, chat.id, now=NOW + 8 * 86_400_000)
    assert (await taken(populated, NOW + 9 * 86_400_000))[0].moves == 1


async def test_a_process_that_ends_leaves_its_chats_and_devices_to_others(populated: StoreHarness) -> None:
    chat = await populated.create_group(ANN, BOB)
    number = await subscribe(populated, BOB, "b")
    await moved(populated, chat.id)
    await taken(populated, NOW + 10)
    (due,) = await taken(populated, NOW + 110)
    await finish(populated, due, Notified(BOB, 7, NOW + 1, urgent=True))
    assert await devices(populated, NOW, _ORIGIN) == []
    assert [one.id for one in await devices(populated, NOW)] == [number]
    assert await devices(populated, NOW + 99) == []
    assert [one.id for one in await devices(populated, NOW + 100)] == [number]


def _shown_on(connection: sa.Connection, device: PushDevice) -> list[DeviceChat]:
    return push_turns.view_devices(connection, [device])[device.id].rows


async def test_what_was_accepted_is_not_sent_again_and_what_came_meanwhile_is(populated: StoreHarness) -> None:
    chat = await populated.create_group(ANN, BOB)
    number = await subscribe(populated, BOB, "b")
    await moved(populated, chat.id)
    (due,) = await taken(populated, NOW + 10)
    await finish(populated, due, Notified(BOB, 7, NOW + 1, urgent=True))
    (device,) = await devices(populated, NOW)
    view = partial(_shown_on, device=device)
    first, second = DeviceChat(chat.id, 0, 7, True), DeviceChat(chat.id, 7, 8, True)
    assert await populated.database.read(view) == [first]
    newer = [Notified(BOB, 9, NOW + 2, urgent=False)]
    await finish(populated, due, *newer)
    await populated.database.write(partial(push_queue.store_notified, one=due, notified=newer, now=NOW))
    assert await populated.database.read(view) == [first], "another process has decided meanwhile"
    await finish(populated, due._replace(done=7), Notified(BOB, 8, NOW + 2, urgent=False))
    note = partial(push_turns.note_turns, now=NOW)
    await populated.database.write(partial(note, notes=[TurnNote(number, [first])]))
    assert await populated.database.read(view) == [second]
    await populated.database.write(partial(note, notes=[TurnNote(number, [second])]))
    await finish(populated, due._replace(done=8), Notified(BOB, 8, NOW + 2, urgent=False))
    assert await devices(populated, NOW + 1_000) == []
    await populated.database.write(partial(note, notes=[TurnNote(number, closed=[chat.id])]))
    assert await populated.database.read(view) == []


async def test_private_messages_and_mentions_do_not_wait_for_other_notifications(populated: StoreHarness) -> None:
    chat = await populated.create_group(ANN, BOB, CEM)
    first, second = await subscribe(populated, BOB, "b"), await subscribe(populated, CEM, "c")
    await moved(populated, chat.id)
    (due,) = await taken(populated, NOW + 10)
    usual, mention = (Notified(one, 7, NOW + 1, urgent=one == CEM) for one in (BOB, CEM))
    store = partial(push_queue.store_notified, one=due, notified=[usual, mention], now=NOW + 50)
    await populated.database.write(store)
    assert [one.id for one in await devices(populated, NOW)] == [second, first]


async def test_a_message_from_before_the_subscription_waits_for_no_device(populated: StoreHarness) -> None:
    chat = await populated.create_group(ANN, BOB)
    await subscribe(populated, BOB, "b")
    await moved(populated, chat.id)
    (due,) = await taken(populated, NOW + 10)
    await finish(populated, due, Notified(BOB, 7, NOW - 1, urgent=True))
    assert await devices(populated, NOW + 1_000) == []


async def test_turns_are_noted_without_a_deadlock_while_a_chat_is_decided(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB)).id
    first, second = await subscribe(populated, BOB, "a"), await subscribe(populated, BOB, "b")
    await moved(populated, chat)
    (due,) = await taken(populated, NOW + 10)
    await finish(populated, due, Notified(BOB, 7, NOW + 1, urgent=True))
    row, begun, go = DeviceChat(chat, 0, 7, True), threading.Event(), threading.Event()

    def decide(connection: sa.Connection) -> None:
        devices = sa.select(push_subscription.c.id).order_by(push_subscription.c.id)
        connection.execute(devices.with_for_update(read=True, key_share=True))
        for number in (first, second):
            newer = push_notification.update().where(push_notification.c.subscription == number)
            connection.execute(newer.values(waiting=8))
            begun.set()
            go.wait()

    decided = asyncio.ensure_future(populated.database.write(decide))
    await asyncio.to_thread(begun.wait)
    notes = [TurnNote(first, dropped=[row]), TurnNote(second, [row])]
    noted = asyncio.ensure_future(populated.database.write(partial(push_turns.note_turns, notes=notes, now=NOW)))
    await asyncio.wait([noted], timeout=_WAIT_SECONDS)
    go.set()
    await asyncio.gather(decided, noted)
