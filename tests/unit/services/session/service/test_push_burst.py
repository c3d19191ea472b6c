"""Many notifications share work, are decided in pieces, and leave the CPU to messages."""

import asyncio
from itertools import product
from typing import Any

import pytest

from services.session.service import push_batch, push_delivery
from services.session.store import push_queue
from shared.clock import now_ms
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.message import GetHistory
from shared.contract.push import FindEndedLogins
from shared.contract.receipts import FindReadIndexes
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.session.service.test_push_delivery import Notifying, notifying, wait_with_one
from tests.unit.services.session.store_harness import ANN, BOB, CEM

__all__ = ["notifying"]


async def test_many_devices_share_requests_and_transactions(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_batch, "FRESH_MS", 30_000)
    chat = (await notifying.store.create_group(ANN, BOB, CEM)).id
    devices = [await notifying.subscribe(one, f"{one}-{place}") for one in (BOB, CEM) for place in range(9)]
    await notifying.post_and_decide(chat)
    notifying.services.requests.clear()
    database, written = notifying.store.database, list[str]()
    write = database.write

    async def count(work: Any, *arguments: Any, **more: Any) -> Any:
        written.append(work.__name__)
        return await write(work, *arguments, **more)

    monkeypatch.setattr(database, "write", count)
    await notifying.send()
    assert sorted(notifying.services.sent) == [(device, str(chat)) for device in devices]
    assert [type(one) for one in notifying.services.requests] == [FindEndedLogins, FindReadIndexes, GetHistory]
    assert written[0] == "take_devices"
    assert {*written[1:]} == {"note_turns"}
    assert len(written) < len(devices) / 2


async def test_only_the_end_of_a_turn_that_frees_enough_places_searches_the_queue(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, delivery = (await notifying.store.create_group(ANN, BOB, CEM)).id, notifying.delivery
    for account, place in product((BOB, CEM), range(9)):
        await notifying.subscribe(account, f"{account}-{place}")
    await notifying.post_and_decide(chat)
    accepted = asyncio.Semaphore(0)

    async def send(*_: object) -> None:
        await accepted.acquire()

    monkeypatch.setattr(notifying.services, "send", send)
    await delivery._start_sending()
    delivery._woken.clear()
    accepted.release()
    while len(delivery._tasks) == 18:
        await asyncio.sleep(0.01)
    assert not delivery._woken.is_set()
    for _ in range(17):
        accepted.release()
    await delivery._tasks.finish(WAIT_SECONDS)
    assert delivery._woken.is_set()


async def test_a_large_chat_is_decided_in_several_transactions(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process loses the database between two transactions, and then decides again."""
    monkeypatch.setattr(push_delivery, "_RECIPIENTS", 1)
    chat = (await notifying.store.create_group(ANN, BOB, CEM)).id
    bob, cem = await notifying.subscribe(BOB), await notifying.subscribe(CEM)
    notifying.services.post(chat)
    await notifying.moved(chat)
    finish, failures = push_queue.finish_chat, [RequestError(ErrorCode.UNAVAILABLE, "away")]

    def fail(*arguments: Any) -> None:
        if failures:
            raise failures.pop()
        finish(*arguments)

    monkeypatch.setattr(push_queue, "finish_chat", fail)
    with pytest.raises(RequestError):
        await notifying.decide()
    assert await notifying.waiting(bob) == {chat: 1}
    await notifying.send()
    assert notifying.services.sent == [(bob, str(chat))]
    later = now_ms() + 6_000
    monkeypatch.setattr(push_delivery, "now_ms", lambda: later)
    await notifying.decide()
    assert (await notifying.waiting(bob), await notifying.waiting(cem)) == ({}, {chat: 1})


async def test_notifications_take_less_of_the_cpu_while_users_send_messages(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []

    async def rest(share: float) -> None:
        shares.append(share)

    monkeypatch.setattr(notifying.delivery._share, "rest", rest)
    await wait_with_one(notifying)
    await notifying.send()
    notifying.delivery._posted -= 60
    await wait_with_one(notifying)
    notifying.delivery._posted -= 60
    await notifying.send()
    assert shares == [push_delivery._SHARE_BESIDE_MESSAGES, push_delivery._SHARE]
