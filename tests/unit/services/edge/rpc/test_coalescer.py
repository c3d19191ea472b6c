"""Many questions in few requests: which go together, who gets which answer, when something fails."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from services.edge.rpc.coalescer import RequestCoalescer
from shared.contract.errors import ErrorCode, RequestError


class Service:
    """Answers a question with its tenfold, `at_once` in a reply, when the gate is open."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.at_once = 100
        self.broken = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.gathering = RequestCoalescer("numbers", self._ask, limit=4)

    async def _ask(self, numbers: Sequence[int]) -> dict[int, int]:
        self.asked.append(list(numbers))
        broken = self.broken
        await self.gate.wait()
        if broken:
            raise RequestError(ErrorCode.INTERNAL, "broken")
        return {number: 10 * number for number in numbers[: self.at_once]}

    def ask(self, *numbers: int, seconds: float | None = None) -> list["asyncio.Task[int]"]:
        return [asyncio.create_task(self.gathering.get(number, seconds)) for number in numbers]


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    yield service
    await service.gathering.close()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_asks_in_one_turn_is_asked_for_together(service: Service) -> None:
    assert await asyncio.gather(*service.ask(1, 2, 1)) == [10, 20, 10]
    assert service.asked == [[1, 2]]
    assert await service.gathering.get(3) == 30


async def test_who_comes_while_enough_is_under_way_goes_along_with_the_next_in_order(service: Service) -> None:
    service.gate.clear()
    asked: list[asyncio.Task[int]] = []
    for number in range(1, 10):
        asked += service.ask(number)
        await turns()
    assert service.asked == [[1], [2]]
    service.gate.set()
    assert await asyncio.gather(*asked) == [10 * number for number in range(1, 10)]
    assert service.asked == [[1], [2], [3, 4, 5, 6], [7, 8, 9]]


async def test_what_a_reply_has_no_room_for_is_asked_again(service: Service) -> None:
    service.at_once = 2
    assert await asyncio.gather(*service.ask(1, 2, 3)) == [10, 20, 30]
    assert service.asked == [[1, 2, 3], [3]]


async def test_a_question_that_is_under_way_is_asked_anew(service: Service) -> None:
    """Its answer may be older than the question."""
    service.gate.clear()
    first = service.ask(1)
    await turns()
    second = service.ask(1)
    await turns()
    service.gate.set()
    await asyncio.gather(*first, *second)
    assert service.asked == [[1], [1]]


async def test_a_failure_is_told_to_those_who_asked(service: Service) -> None:
    service.broken = True
    service.gate.clear()
    unlucky = service.ask(1, 2)
    await turns()
    service.broken = False
    lucky = service.ask(3)
    await turns()
    service.gate.set()
    assert await asyncio.gather(*lucky) == [30]
    outcomes = await asyncio.gather(*unlucky, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["internal: broken"] * 2
    assert await service.gathering.get(4) == 40


async def test_who_does_not_wait_any_more_takes_nothing_from_others(service: Service) -> None:
    service.gate.clear()
    first, second, hasty = *service.ask(1, 1), *service.ask(1, seconds=0.01)
    await turns()
    first.cancel()
    with pytest.raises(RequestError) as caught:
        await hasty
    assert caught.value.failure.code is ErrorCode.UNAVAILABLE
    service.gate.set()
    assert await second == 10
    assert first.cancelled()


async def test_the_end_leaves_nobody_waiting(service: Service) -> None:
    service.gate.clear()
    asked: list[asyncio.Task[int]] = []
    for number in range(1, 5):
        asked += service.ask(number)
        await turns()
    await service.gathering.close()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 4
    assert service.asked == [[1], [2]]
