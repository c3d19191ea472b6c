"""The soak drill flags a process that grows, and ignores noise. Its plan lets each process run long enough."""

import pytest

from tests.drills.record_index import RecordIndex
from tests.drills.records import DrillRecords, ResourcesSeen
from tests.drills.soak import LOOK_SECONDS, anonymous_bytes, flat, phases

SAMPLES = 60
MEMORY, FILES, THREADS, TASKS = 100e6, 50.0, 8.0, 40.0


def recorded(
    process: str = "edge-1", *, memory_per_look: float = 0.0, files_per_look: float = 0.0, tasks_per_look: float = 0.0
) -> RecordIndex:
    """Returns records in which every third sample is a peak, and memory doubles at the beginning."""
    records = [
        ResourcesSeen(
            number * LOOK_SECONDS, process, 1,
            {
                "memory_bytes": MEMORY * min(1, 0.5 + number / 20) + 9e6 * (number % 3 == 0) + number * memory_per_look,
                "files": FILES + 30 * (number % 3 == 0) + number * files_per_look,
                "threads": THREADS,
                "tasks": TASKS + 20 * (number % 3 == 0) + number * tasks_per_look,
            },
        )
        for number in range(SAMPLES)
    ]  # fmt: skip
    return RecordIndex(DrillRecords({}, list(records), {}))


def test_peaks_and_a_warm_up_are_no_growth() -> None:
    assert list(flat(recorded())) == []


@pytest.mark.parametrize(
    ("memory", "files", "tasks", "what"),
    [(1e6, 0.0, 0.0, "memory_bytes"), (0.0, 1.0, 0.0, "files"), (0.0, 0.0, 1.0, "tasks")],
)
def test_growth_is_found(memory: float, files: float, tasks: float, what: str) -> None:
    (violation,) = flat(recorded(memory_per_look=memory, files_per_look=files, tasks_per_look=tasks))
    assert violation.startswith(f"{what} of edge-1 grew from ")


@pytest.mark.parametrize(("process", "found"), [("message", 0), ("edge-1", 1)])
def test_pages_that_sqlite_caches_for_new_connections_are_no_growth(process: str, found: int) -> None:
    assert len(list(flat(recorded(process, memory_per_look=0.4e6, files_per_look=0.5)))) == found


@pytest.mark.parametrize(("memory_per_look", "found"), [(1e6, 0), (5e6, 1)])
def test_the_memory_of_search_that_its_writers_fill_is_no_growth(memory_per_look: float, found: int) -> None:
    assert len(list(flat(recorded("search", memory_per_look=memory_per_look)))) == found


def test_pages_of_mapped_files_are_not_allocated() -> None:
    assert anonymous_bytes("Name:\tpython\nVmRSS:\t 900 kB\nRssAnon:\t 300 kB\nRssFile:\t 600 kB\n") == 300 * 1024


def test_a_process_that_was_replaced_is_not_judged() -> None:
    short, whole = recorded("edge-2", memory_per_look=1e6), recorded("edge-1")
    records = [*short.recorded.records[: SAMPLES // 4], *whole.recorded.records]
    assert list(flat(RecordIndex(DrillRecords({}, records, {})))) == []


def test_nothing_seen_is_a_violation() -> None:
    assert list(flat(RecordIndex(DrillRecords({}, [], {})))) == ["nobody looked at the processes"]


def test_each_service_survives_one_half() -> None:
    planned = phases(600, 1)
    killed = [set(phase.targets) for phase in planned if not phase.freeze_seconds]
    assert set.intersection(*killed) == {"edge-2", "nats", "valkey"}
    assert sum(phase.rounds * phase.every for phase in planned) <= 660
    assert phases(600, 1) == planned != phases(600, 2)
