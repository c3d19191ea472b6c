import asyncio

from tests.stages.timing import microseconds


async def test_the_fastest_round_counts_by_what_was_done_in_it() -> None:
    pauses = iter([0.0, 0.2, 0.02, 0.2, 0.2, 0.2])

    async def work() -> int:
        await asyncio.sleep(next(pauses))
        return 10

    assert 1_900 < await microseconds(work, 0.05) < 19_000
