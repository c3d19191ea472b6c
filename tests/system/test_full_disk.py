"""A full data directory stops writes, but nothing else. When it has space again, everything works within seconds."""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib import request
from urllib.error import HTTPError

import nats.errors
import pytest

from local.data import RunningProcess, read_run
from local.nats import SETUP
from services.cli.streams import stores_events
from tests.drills.archive import broker
from tests.support.cluster import Cluster
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.waiting import block_until
from tests.system.conftest import Dial
from tests.system.users import V2User

PATIENCE_SECONDS = 15.0
"""The longest wait: three times the time that a quiet machine needs."""
MEGABYTES = 48


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", MEGABYTES) as disk:
        yield disk


@pytest.fixture
def cluster(disk: SmallDisk) -> Iterator[Cluster]:
    """A system whose data and log are on the small disk."""
    with Cluster(disk.path / "data", "--no-limits", edges=1) as cluster:
        yield cluster


def seconds_until(condition: Callable[[], bool]) -> float:
    began = time.monotonic()
    block_until(condition, PATIENCE_SECONDS)
    return time.monotonic() - began


def events_are_stored(cluster: Cluster) -> bool:
    try:
        return asyncio.run(stores_events(broker(cluster.data, SETUP), 1.0))
    except (OSError, TimeoutError, nats.errors.Error):
        return False


def is_acknowledged(user: V2User, session: int, text: str) -> bool:
    """Returns whether a message is acknowledged soon."""
    try:
        user.post(session, text, seconds=0.5)
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("killed", [("message",), ("message", "nats")])
def test_a_full_disk_and_deaths_at_the_same_time_are_survived(
    disk: SmallDisk, cluster: Cluster, dial: Dial, killed: tuple[str, ...]
) -> None:
    one, two = (dial(cluster.edges[0]).register() for _ in range(2))
    session = one.session(two)
    one.post(session, "before")
    running = [cluster.process(name) for name in killed]
    disk.fill()
    for process in running:
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
    seconds_until(lambda: not events_are_stored(cluster))
    assert "events" in not_ready(cluster, "auth")
    time.sleep(3)  # this is longer than the supervisor's pause before a restart
    disk.free()
    numbers = itertools.count()
    assert seconds_until(lambda: is_acknowledged(one, session, f"after {next(numbers)}")) < PATIENCE_SECONDS
    assert seconds_until(lambda: events_are_stored(cluster)) < PATIENCE_SECONDS
    cluster.wait_for(lambda: new_pids(cluster, killed), PATIENCE_SECONDS)
    assert {one.pid for one in running if one}.isdisjoint(new_pids(cluster, killed))


def not_ready(cluster: Cluster, name: str) -> str:
    """Waits until a service is not ready, and returns its reasons."""
    process = next(one for one in read_processes(cluster) if one.name == name)
    body = ""

    def is_unready() -> bool:
        nonlocal body
        try:
            request.urlopen(f"http://127.0.0.1:{process.ops}/readyz", timeout=5).close()
        except HTTPError as error:
            body = error.read().decode()
            return error.code == 503
        return False

    seconds_until(is_unready)
    return body


def read_processes(cluster: Cluster) -> list[RunningProcess]:
    run = read_run(cluster.data)
    assert run is not None
    return run.processes


def new_pids(cluster: Cluster, names: tuple[str, ...]) -> set[int]:
    """Returns the pids in `run.json`, or nothing until all processes run."""
    found = [cluster.process(name) for name in names]
    return {one.pid for one in found if one} if all(found) else set()
