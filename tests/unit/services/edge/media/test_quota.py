"""Tests quotas: for an account and a day on all edges, for all files, and while Redis is unavailable."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.edge.media import MediaService
from services.edge.media.disk import Disk
from services.edge.media.opening import open_store
from services.edge.media.quota import MediaCounters, MediaQuota
from services.edge.metrics import EdgeMetrics
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, NodeId
from shared.settings import Settings
from shared.settings.messages import MediaSettings
from tests.support.servers import ValkeyServer

ALICE, BOB = AccountId(7), AccountId(8)
NOON, TOMORROW = 1_700_000_000_000, 1_700_000_000_000 + 86_400_000
DAILY, TOTAL = MediaSettings(account_bytes_per_day=100), MediaSettings(total_bytes=100)


@pytest.fixture
async def edges(valkey_server: ValkeyServer) -> AsyncIterator[list[MediaCounters]]:
    counters = [MediaCounters(valkey_server.settings("edge")) for _ in range(2)]
    yield counters
    for one in counters:
        await one.close()


async def admits(quota: MediaQuota, account: AccountId, size: int, once: str = "") -> bool:
    with suppress(RequestError):
        await quota.reserve(account, size, once)
        return True
    return False


async def test_an_account_has_a_quota_for_a_day_on_all_edges_together(edges: list[MediaCounters]) -> None:
    here, there = (MediaQuota(counters, DAILY, lambda: NOON) for counters in edges)
    assert [await admits(here, ALICE, 60), await admits(there, ALICE, 41), await admits(there, ALICE, 40)] == [
        True, False, True,
    ]  # fmt: skip
    assert await admits(there, BOB, 100)
    with pytest.raises(RequestError, match="100 bytes"):
        await here.check(ALICE)
    await here.give_back(ALICE, 1)
    await here.check(ALICE)
    assert await admits(MediaQuota(edges[0], DAILY, lambda: TOMORROW), ALICE, 100)


async def test_a_file_that_comes_often_at_once_counts_once_and_has_the_same_limit(edges: list[MediaCounters]) -> None:
    here, there = (MediaQuota(counters, DAILY, lambda: NOON) for counters in edges)
    assert not any(await asyncio.gather(*(admits(quota, ALICE, 101, "big") for quota in (here, there) * 3)))
    assert sum(await asyncio.gather(*(quota.reserve(ALICE, 30, "small") for quota in (here, there)))) == 1
    assert not await here.reserve(ALICE, 30, "small")
    assert [await admits(here, ALICE, 71), await admits(there, ALICE, 70)] == [False, True]


async def test_all_files_together_have_a_quota(edges: list[MediaCounters]) -> None:
    here, there = (MediaQuota(counters, TOTAL) for counters in edges)
    assert [await admits(here, ALICE, 99), await admits(there, BOB, 2)] == [True, False]
    await here.measured(50)
    assert await admits(there, BOB, 50)


async def test_one_quota_is_given_back_when_another_rejects(edges: list[MediaCounters]) -> None:
    quota = MediaQuota(edges[0], MediaSettings(account_bytes_per_day=10, total_bytes=100), lambda: NOON)
    assert not await admits(quota, ALICE, 11)
    assert await edges[1].add("", 0) == 0


async def test_an_edge_goes_on_from_what_it_has_seen_while_redis_is_unavailable(
    edges: list[MediaCounters], valkey_server: ValkeyServer
) -> None:
    here, there = (MediaQuota(counters, DAILY, lambda: NOON) for counters in edges)
    assert await admits(here, ALICE, 60)
    assert await admits(there, ALICE, 20)
    valkey_server.kill()
    try:
        assert [await admits(there, ALICE, 21), await admits(there, ALICE, 20)] == [False, True]
        assert not await edges[0].elect_sweeper(NodeId("a"), 60), "without Redis, no edge sweeps"
    finally:
        valkey_server.start()


async def test_one_edge_is_elected_to_sweep(edges: list[MediaCounters]) -> None:
    assert [await one.elect_sweeper(NodeId("a"), 60) for one in edges] == [True, False]


async def test_a_file_that_cannot_be_stored_is_not_counted(edges: list[MediaCounters], tmp_path: object) -> None:
    settings, disk = Settings(media={"directory": str(tmp_path), "account_bytes_per_day": 10}), Disk()
    quota = MediaQuota(edges[0], settings.media)
    metrics = EdgeMetrics(CollectorRegistry())
    media = MediaService(open_store(settings.media, disk), settings, metrics, disk, quota)
    await media.prepare()
    upload = media.start_upload()
    await upload.write(b"12345678")
    upload.drop()
    with pytest.raises(RequestError):
        await media.store(upload, "file", account=ALICE)
    upload = media.start_upload()
    await upload.write(b"12345678")
    stored = await media.store(upload, "file", account=ALICE)
    await media.discard(stored.id)
    with pytest.raises(RequestError) as caught:  # the content stays for a day
        await quota.reserve(ALICE, 8)
    assert caught.value.failure.code is ErrorCode.LIMIT
    await media.close()


async def test_unfinished_uploads_take_no_more_than_the_quotas(tmp_path: Path) -> None:
    """Many uploads that never end would fill the disk, although none of them is stored."""
    settings, disk = Settings(media={"directory": tmp_path, "account_bytes_per_day": 10, "total_bytes": 15}), Disk()
    media = MediaService(open_store(settings.media, disk), settings, EdgeMetrics(CollectorRegistry()), disk)
    await media.prepare()
    first, second, other = (media.start_upload(account) for account in (ALICE, ALICE, BOB))
    await first.write(b"123456")
    with pytest.raises(RequestError, match="10 bytes of pictures and files a day"):
        await second.write(b"12345")
    await other.write(b"123456789")
    with pytest.raises(RequestError, match="no room"):
        await other.write(b"0")
    first.drop()
    first.drop()
    await second.write(b"12345")
    assert (await media.store(second, "file", account=ALICE)).size == 5
    last = media.start_upload(ALICE)
    await last.write(b"123456")
    for upload in (other, last):
        upload.drop()
    await media.close()
