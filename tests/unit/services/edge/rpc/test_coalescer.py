"""Lookups of several callers share a request (they are coalesced).

Tests which lookups do, which value each caller gets, and failures.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from services.edge.rpc.coalescer import RequestCoalescer
from shared.contract.errors import ErrorCode, RequestError


class FakeLookup:
    """A fake lookup of ten times a number. A reply has `values_per_reply` values, and waits for the gate."""

    def __init__(self) -> None:
        self.requests: list[list[int]] = []
        self.values_per_reply = 100
        self.broken = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.coalescer = RequestCoalescer("numbers", self._fetch, limit=4)

    async def _fetch(self, numbers: Sequence[int]) -> dict[int, int]:
        self.requests.append(list(numbers))
        broken = self.broken
        await self.gate.wait()
        if broken:
            raise RequestError(ErrorCode.INTERNAL, "broken")
        return {number: 10 * number for number in numbers[: self.values_per_reply]}

    def get(self, *numbers: int, seconds: float | None = None) -> list["asyncio.Task[int]"]:
        return [asyncio.create_task(self.coalescer.get(number, seconds)) for number in numbers]


@pytest.fixture
async def lookup() -> AsyncIterator[FakeLookup]:
    lookup = FakeLookup()
    yield lookup
    await lookup.coalescer.close()


async def iterations() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_lookups_of_one_tick_share_a_request(lookup: FakeLookup) -> None:
    assert await asyncio.gather(*lookup.get(1, 2, 1)) == [10, 20, 10]
    assert lookup.requests == [[1, 2]]
    assert await lookup.coalescer.get(3) == 30


async def test_lookups_beyond_two_requests_in_flight_share_the_next_in_order(lookup: FakeLookup) -> None:
    lookup.gate.clear()
    pending: list[asyncio.Task[int]] = []
    for number in range(1, 10):
        pending += lookup.get(number)
        await iterations()
    assert lookup.requests == [[1], [2]]
    lookup.gate.set()
    assert await asyncio.gather(*pending) == [10 * number for number in range(1, 10)]
    assert lookup.requests == [[1], [2], [3, 4, 5, 6], [7, 8, 9]]


async def test_keys_missing_in_a_reply_are_requested_again(lookup: FakeLookup) -> None:
    lookup.values_per_reply = 2
    assert await asyncio.gather(*lookup.get(1, 2, 3)) == [10, 20, 30]
    assert lookup.requests == [[1, 2, 3], [3]]


async def test_a_key_in_flight_is_requested_again(lookup: FakeLookup) -> None:
    """The value that is in flight may be older than the lookup."""
    lookup.gate.clear()
    first = lookup.get(1)
    await iterations()
    second = lookup.get(1)
    await iterations()
    lookup.gate.set()
    await asyncio.gather(*first, *second)
    assert lookup.requests == [[1], [1]]


async def test_a_failure_concerns_only_its_callers(lookup: FakeLookup) -> None:
    lookup.broken = True
    lookup.gate.clear()
    failing = lookup.get(1, 2)
    await iterations()
    lookup.broken = False
    succeeding = lookup.get(3)
    await iterations()
    lookup.gate.set()
    assert await asyncio.gather(*succeeding) == [30]
    results = await asyncio.gather(*failing, return_exceptions=True)
    assert [str(result) for result in results] == ["internal: broken"] * 2
    assert await lookup.coalescer.get(4) == 40


async def test_a_cancelled_caller_does_not_affect_others(lookup: FakeLookup) -> None:
    lookup.gate.clear()
    first, second, hasty = *lookup.get(1, 1), *lookup.get(1, seconds=0.01)
    await iterations()
    first.cancel()
    with pytest.raises(RequestError) as caught:
        await hasty
    assert caught.value.failure.code is ErrorCode.UNAVAILABLE
    lookup.gate.set()
    assert await second == 10
    assert first.cancelled()


async def test_closing_cancels_all_callers(lookup: FakeLookup) -> None:
    lookup.gate.clear()
    pending: list[asyncio.Task[int]] = []
    for number in range(1, 5):
        pending += lookup.get(number)
        await iterations()
    await lookup.coalescer.close()
    results = await asyncio.gather(*pending, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 4
    assert lookup.requests == [[1], [2]]


async def test_requests_get_smaller_while_replies_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply takes 30 ms for each key, so that it takes too long for more than 33 keys. Later it takes no time."""
    loop = asyncio.get_running_loop()
    now, seconds_per_key, sizes = loop.time(), 0.03, list[int]()

    async def fetch(numbers: Sequence[int]) -> dict[int, int]:
        nonlocal now
        sizes.append(len(numbers))
        now += seconds_per_key * len(numbers)
        return dict.fromkeys(numbers, 0)

    monkeypatch.setattr(loop, "time", lambda: now)
    coalescer = RequestCoalescer("numbers", fetch, limit=128)
    await asyncio.gather(*(coalescer.get(number) for number in range(400)))
    assert (sizes[0], min(sizes[:-1])) == (128, 32)
    assert sizes[-2] == 32
    seconds_per_key = 0.0
    await asyncio.gather(*(coalescer.get(number) for number in range(400)))
    assert sizes[-1] == 128 or sizes[-2] == 128
    await coalescer.close()
