"""Tests when the index is committed, and what is found if a commit fails."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from secrets import token_hex

import pytest

from services.search.index import message_index
from services.search.index.message_index import MessageIndex
from services.search.service import following
from services.search.service.following import _lower_priority
from shared.clock import now_ms
from shared.database import Database
from shared.settings.messages import MessageSettings
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.search.peers import ROOM, Peers


@pytest.fixture
async def confined(database: Database, tmp_path: Path) -> AsyncIterator[tuple[Peers, SmallDisk]]:
    """Search with an index on a small disk."""
    with small_disk(tmp_path / "disk", 64) as disk:
        peers = Peers(database, disk.path / "index")
        yield peers, disk
        await peers.close()


async def test_on_a_full_disk_new_messages_are_found_and_written_once_there_is_room(
    confined: tuple[Peers, SmallDisk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(following, "_LONGEST_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(message_index, "_COMMIT_MESSAGES", 1)
    peers, disk = confined
    await peers.post(ROOM, "old words")
    await peers.index()
    index, failures = peers.directory.read, peers.follower._metrics.failures
    indexed_to = (await peers.page("old")).indexed_to
    disk.fill()
    running = asyncio.create_task(peers.follower.run())
    async with asyncio.timeout(WAIT_SECONDS):
        for number in (2, 3):
            await peers.post(ROOM, f"new words {number}")
            peers.announce()
            count = failures._value.get() + following._FAILURES
            while failures._value.get() < count or len(await peers.found("words")) < number:
                disk.fill()  # the files that a failed commit leaves are deleted, so the disk must be filled again
                await asyncio.sleep(0.01)
        assert peers.directory.read is index, "the index is kept"
        posted = (await peers.page("old")).indexed_to
        assert posted <= indexed_to + following._LAG_MS
        disk.free()
        while (await peers.page("old")).indexed_to <= posted:
            await asyncio.sleep(0.01)
        assert len(await peers.found("words")) == 3
    running.cancel()


async def test_on_a_disk_that_is_full_for_long_the_messages_of_all_replies_are_found(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(following, "_LONGEST_PAUSE_SECONDS", 0.1)
    with small_disk(tmp_path / "disk", 64) as disk:
        peers = Peers(database, disk.path / "index", MessageSettings(reply_bytes=900))
        await peers.post(ROOM, "old words")
        await peers.index()
        peers.follower._committed -= following._COMMIT_SECONDS
        await peers.post(ROOM, *["new words"] * 30)
        peers.announce()
        disk.fill()
        running = asyncio.create_task(peers.follower.run())
        async with asyncio.timeout(WAIT_SECONDS):
            while len(await peers.found("new", count=30)) < 30:
                disk.fill()  # the files that a failed commit leaves are deleted, so the disk must be filled again
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])
        await peers.close()


async def test_what_a_failed_commit_leaves_in_memory_is_found_and_not_called_indexed(
    confined: tuple[Peers, SmallDisk], monkeypatch: pytest.MonkeyPatch
) -> None:
    peers, disk = confined
    await peers.post(ROOM, "old words")
    await peers.index()
    before = peers.follower.indexed_to()
    await peers.post(ROOM, "new words")
    await peers.index()
    peers.clock = lambda: now_ms() + 60_000
    assert await peers.found("new") == [(ROOM, 2)]
    assert peers.follower.indexed_to() > before + 50_000
    await peers.post(ROOM, "newest words")
    peers.announce()
    monkeypatch.setattr(message_index, "_COMMIT_MESSAGES", 1)
    disk.fill()
    running, failures = asyncio.create_task(peers.follower.run()), peers.follower._metrics.failures
    async with asyncio.timeout(WAIT_SECONDS):
        while not failures._value.get():
            disk.fill()  # the index may have deleted files of its earlier commits, which makes room
            await asyncio.sleep(0.01)
    page = await peers.page("new")
    running.cancel()
    assert [(hit.chat, hit.index) for hit in page.hits] == [(ROOM, 3), (ROOM, 2)]
    assert page.indexed_to <= before + following._LAG_MS


async def test_long_messages_are_committed_before_they_fill_the_memory(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_index, "_COMMIT_BYTES", 1_000, raising=False)
    peers, written = Peers(database, tmp_path / "index"), list[int]()
    for _ in range(3):
        await peers.post(ROOM, *(token_hex(100) for _ in range(3)))
        await peers.index()
        assert peers.directory.read is not None
        written.append(peers.directory.read.written)
    await peers.close()
    assert written == [0, 3, 0], "the first ones are compared, which commits"


async def test_a_slow_first_index_is_committed_at_intervals(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the process ends meanwhile, it need not begin again."""
    commit, commits = MessageIndex.commit, list[int]()

    def counted(index: MessageIndex) -> None:
        commits.append(index.written)
        commit(index)

    monkeypatch.setattr(MessageIndex, "commit", counted)
    monkeypatch.setattr(following, "_COMMIT_SECONDS", 0.0)
    peers = Peers(database, tmp_path / "index", MessageSettings(reply_bytes=900))
    await peers.post(ROOM, *["word"] * 30)
    await peers.index()
    await peers.close()
    assert len([one for one in commits if one]) > 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such priority")
def test_the_thread_that_writes_leaves_the_cpu_to_others() -> None:
    with ThreadPoolExecutor(1, initializer=_lower_priority) as thread:
        assert thread.submit(os.sched_getscheduler, 0).result() == os.SCHED_IDLE
