"""The end of a drill, without a system: late histories, and records made meanwhile."""

import pytest

from shared.contract.errors import ErrorCode, RequestError
from tests.drills.drill import Drill
from tests.drills.population import Population
from tests.drills.records import Entry, Trial
from tests.drills.sample_trials import SampleTrial

CHAT = 7


async def end(sample: SampleTrial, *, away: int = 0, patience: float = 5.0) -> Trial:
    """The trial of all sent messages. While the history is read, a member receives one more message. The message
    service is away for the first `away` reads."""
    reads = 0

    async def read(chats: list[int]) -> dict[int, list[Entry]]:
        nonlocal reads
        reads += 1
        if reads <= away:
            raise RequestError(ErrorCode.UNAVAILABLE, "away")
        history = sample.trial.history
        sample.send("1/a", CHAT)
        return history

    drill = Drill([], read, 1.0, patience, lambda line: None, records=sample.records)
    return await drill._quiesce(Population({CHAT: frozenset({1, 2})}, [], []))


@pytest.fixture
def sample() -> SampleTrial:
    sample = SampleTrial({CHAT: frozenset({1, 2})}, {"1/a": "edge-1", "2/a": "edge-2"})
    sample.send("2/a", CHAT)
    return sample


async def test_records_end_before_the_history_is_read(sample: SampleTrial) -> None:
    records = list(sample.records)
    trial = await end(sample)
    assert trial.records == records
    assert [entry.text for entry in trial.history[CHAT]] == ["text-1"]


async def test_reading_the_history_is_retried(sample: SampleTrial) -> None:
    assert (await end(sample, away=2)).history.keys() == {CHAT}


async def test_the_patience_for_a_history_ends(sample: SampleTrial) -> None:
    assert not (await end(sample, away=2, patience=0.0)).history
