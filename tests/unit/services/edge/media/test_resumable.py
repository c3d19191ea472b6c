"""Uploads in several requests can be continued on any edge. The tests run on both kinds of store."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.edge.media import MediaService, Upload
from services.edge.media.disk import Disk
from services.edge.media.opening import MediaSweep, open_store, sweep, sweep_uploads
from services.edge.media.quota import MediaQuota
from services.edge.media.resumable import ResumableUpload, ResumableUploads, contiguous
from services.edge.media.store import UPLOAD_KINDS, MediaRetention, MediaStore, StoredKey
from services.edge.metrics import EdgeMetrics
from shared.clock import now_ms
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.model import Media
from shared.settings import Settings
from shared.settings.messages import MediaSettings
from tests.unit.services.edge.http.conftest import FakeCounters
from tests.unit.services.edge.media.test_service import PNG, content, error_code

ALICE, BOB = AccountId(7), AccountId(8)
DAY_MS = 86_400_000
CONTENT = bytes(range(150))


class UploadEdges:
    """Two edges with one store. Their clock is `ahead` milliseconds ahead of the real time."""

    def __init__(self, settings: Settings) -> None:
        self.ahead = 0
        self.counters = FakeCounters()
        self.disk = Disk()
        self.store: MediaStore = open_store(settings.media, self.disk)
        self.quota = MediaQuota(self.counters, settings.media)
        metrics = EdgeMetrics(CollectorRegistry())
        self.media = MediaService(self.store, settings, metrics, self.disk, self.quota)
        self.here, self.there = (
            ResumableUploads(self.store, self.media, settings, metrics, self.quota, lambda: now_ms() + self.ahead)
            for _ in range(2)
        )

    async def part(self, upload: ResumableUpload, data: bytes) -> Upload:
        part = self.here.start_part(upload)
        await part.write(data)
        return part

    async def found(self, upload: ResumableUpload) -> ResumableUpload:
        found = await self.there.find(upload.record.account, upload.id)
        assert found is not None
        return found

    async def append(self, upload: ResumableUpload, data: bytes) -> ResumableUpload:
        return await self.here.append(upload, await self.part(upload, data))

    async def finish(self, upload: ResumableUpload, data: bytes) -> ResumableUpload:
        return await self.here.finish(upload, await self.part(upload, data))

    async def keys(self, *kinds: str) -> list[str]:
        found = list[str]()
        for kind in kinds:
            async for batch in self.store.list(kind):
                found.extend(one.key for one in batch)
        return sorted(found)


@pytest.fixture
def limits() -> dict[str, int]:
    """The media settings. A test may override this fixture."""
    return {}


@pytest.fixture
async def edges(media_settings: MediaSettings, limits: dict[str, int]) -> AsyncIterator[UploadEdges]:
    """Two edges on which an account may have at most two unfinished uploads."""
    settings = Settings(
        media=media_settings.model_copy(update=limits), limits={"file_bytes": 10_000_000, "unfinished_uploads": 2}
    )
    edges = UploadEdges(settings)
    await edges.media.prepare()
    yield edges
    await edges.media.close()


async def test_another_edge_continues_an_upload(edges: UploadEdges) -> None:
    upload = await edges.here.create(ALICE, len(PNG), "a/cat.png", "filename Y2F0")
    assert (upload.offset, upload.expires) == (0, upload.record.created + DAY_MS)
    upload = await edges.here.append(upload, await edges.part(upload, PNG[:300_000]))
    found = await edges.found(upload)
    assert (found.offset, found.record) == (300_000, upload.record)
    found = await edges.there.append(found, await edges.part(found, PNG[300_000:500_000]))
    finished = await edges.finish(await edges.found(found), PNG[500_000:])
    media = finished.record.media
    assert media is not None
    assert (media.name, media.size, media.sha256) == ("cat.png", len(PNG), sha256(PNG).hexdigest())
    assert (media.mime, finished.offset) == ("image/png", len(PNG))
    assert await content(edges.media, media) == PNG
    assert await edges.found(upload) == finished
    assert await edges.keys("uploads", "parts") == []


async def store_once(edges: UploadEdges, edge: ResumableUploads, data: bytes = CONTENT) -> Media:
    whole = edges.media.start_upload(ALICE)
    await whole.write(data)
    return await edge.store_once(ALICE, "n", whole, "a.bin")


@pytest.mark.parametrize("last", ["finished", "blobs", "records"])
@pytest.mark.parametrize("limits", [{"account_bytes_per_day": 10_000}])
async def test_a_file_under_a_nonce_counts_once_whenever_an_edge_dies(
    edges: UploadEdges, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """An edge dies when it stores a key of the kind `last`, so nothing after that happens."""
    reached = asyncio.Event()

    def dying(keep: Callable[..., Awaitable[bool]]) -> Callable[..., Awaitable[bool]]:
        async def kept(key: str, *rest: object) -> bool:
            if key.startswith(last):
                reached.set()
                await asyncio.Event().wait()
            return await keep(key, *rest)

        return kept

    with monkeypatch.context() as patch:
        for operation in ("create", "put", "write"):
            patch.setattr(edges.store, operation, dying(getattr(edges.store, operation)))
        dead = asyncio.create_task(store_once(edges, edges.here))
        await reached.wait()
    media = await store_once(edges, edges.there)
    assert await content(edges.media, media) == CONTENT
    assert await store_once(edges, edges.there) == media
    for _ in ("as if it were dead", "its client went away"):
        assert [sum for name, sum in edges.counters.sums.items() if name.endswith(f":{ALICE}")] == [len(CONTENT)]
        assert await edges.keys("records") == [f"records/{media.id}"]
        dead.cancel()
        await asyncio.wait([dead])


@pytest.mark.parametrize("limits", [{"account_bytes_per_day": 10_000}])
async def test_a_file_that_was_removed_is_stored_again_under_its_nonce(edges: UploadEdges) -> None:
    """The file was removed because its message was rejected."""
    for _ in range(2):
        media = await store_once(edges, edges.here)
        assert await content(edges.media, media) == CONTENT
        assert [sum for name, sum in edges.counters.sums.items() if name.endswith(f":{ALICE}")] == [len(CONTENT)]
        await edges.media.discard(media.id)
        assert not await edges.there.has_stored(ALICE, "n")
    upload = await edges.there.create(ALICE, len(CONTENT), "a.bin", "", "n")
    assert upload.record.media is None
    finished = (await edges.finish(upload, CONTENT)).record.media
    assert finished is not None
    assert await content(edges.media, finished) == CONTENT


async def test_identical_files_are_stored_once(edges: UploadEdges) -> None:
    for size in (5, 100_000):
        upload = await edges.here.create(ALICE, len(PNG), "", "")
        upload = await edges.append(upload, PNG[:size])
        assert (await edges.finish(upload, PNG[size:])).record.media is not None
    assert await edges.keys("blobs") == [f"blobs/{sha256(PNG).hexdigest()}"]
    assert len(await edges.keys("records")) == 2


@pytest.mark.parametrize("limits", [{"total_bytes": 100}])
async def test_of_two_requests_at_once_one_continues_an_upload(edges: UploadEdges) -> None:
    upload = await edges.here.create(ALICE, 20, "", "")
    parts = [await edges.part(upload, data) for data in (b"first", b"second")]
    done = await asyncio.gather(
        edges.here.append(upload, parts[0]), edges.there.append(upload, parts[1]), return_exceptions=True
    )
    (kept,) = (one for one in done if isinstance(one, ResumableUpload))
    (rejected,) = (one for one in done if isinstance(one, BaseException))
    assert "conflict" in str(rejected)
    assert (await edges.found(upload)).offset == kept.offset == edges.counters.sums[""]


async def test_two_requests_that_finish_an_upload_get_the_same_file(edges: UploadEdges) -> None:
    upload = await edges.append(await edges.here.create(ALICE, 10, "", ""), b"12345")
    lasts = [await edges.part(upload, b"67890") for _ in range(2)]
    one, two = await asyncio.gather(edges.here.finish(upload, lasts[0]), edges.there.finish(upload, lasts[1]))
    assert one.record.media is not None
    assert two.record.media == one.record.media
    assert await edges.keys("records") == [f"records/{one.record.media.id}"]


async def test_many_requests_at_once_leave_the_bytes_in_order(edges: UploadEdges) -> None:
    """Four clients of one account, on two edges, continue the upload at its present offset."""
    upload = await edges.here.create(ALICE, len(CONTENT), "", "")
    errors: list[ErrorCode] = []

    async def client(edge: ResumableUploads, size: int) -> ResumableUpload:
        while True:
            seen = await edge.find(ALICE, upload.id)
            assert seen is not None
            if seen.record.media is not None:
                return seen
            end = min(seen.offset + size, len(CONTENT))
            part = await edges.part(seen, CONTENT[seen.offset : end])
            try:
                await (edge.finish if end == len(CONTENT) else edge.append)(seen, part)
            except RequestError as error:
                errors.append(error.failure.code)

    clients = (client(edges.here, 7), client(edges.here, 11), client(edges.there, 5), client(edges.there, 13))
    results = await asyncio.gather(*clients)
    (media,) = {result.record.media for result in results}
    assert media is not None
    assert await content(edges.media, media) == CONTENT
    assert await edges.keys("records") == [f"records/{media.id}"]
    assert set(errors) == {ErrorCode.CONFLICT}


async def test_a_request_after_the_last_gets_its_file(edges: UploadEdges) -> None:
    """The edge of the late request has read the state from before the last request."""
    upload = await edges.append(await edges.here.create(ALICE, 10, "", ""), b"12345")
    late = await edges.found(upload)
    finished = await edges.finish(upload, b"67890")
    assert await edges.finish(late, b"67890") == finished


async def test_an_upload_belongs_to_its_account(edges: UploadEdges) -> None:
    upload = await edges.here.create(ALICE, 10, "", "")
    assert await edges.here.find(BOB, upload.id) is None
    for id in ("", "..", "0" * 32, upload.id.upper() + "x"):
        assert await edges.here.find(ALICE, id) is None


async def test_an_account_has_few_unfinished_uploads(edges: UploadEdges) -> None:
    first, _ = [await edges.here.create(ALICE, 10, "", "") for _ in range(2)]
    assert await error_code(edges.there.create(ALICE, 10, "", "")) is ErrorCode.LIMIT
    await edges.here.create(BOB, 10, "", "")
    await edges.finish(first, b"1234567890")
    second = await edges.there.create(ALICE, 10, "", "")
    assert await error_code(edges.there.create(ALICE, 10, "", "")) is ErrorCode.LIMIT
    await edges.here.remove(second)
    await edges.there.create(ALICE, 10, "", "")
    edges.ahead = DAY_MS
    await edges.there.create(ALICE, 10, "", "")


@pytest.mark.parametrize("limits", [{"account_bytes_per_day": 25}])
async def test_uploads_that_are_created_at_once_stay_within_the_limits(edges: UploadEdges) -> None:
    """At most two for each account are within the limits. The others leave no record."""
    creating = [one.create(account, 10, "", "") for account in (ALICE, BOB) for one in (edges.here, edges.there) * 2]
    created = [one for one in await asyncio.gather(*creating, return_exceptions=True)]
    for account in (ALICE, BOB):
        mine = [one for one in created if isinstance(one, ResumableUpload) and one.record.account == account]
        assert len(mine) <= 2
        assert len(await edges.keys(f"uploads/{account}")) == len(mine)
    assert {type(one) for one in created} <= {ResumableUpload, RequestError}


@pytest.mark.parametrize("limits", [{"account_bytes_per_day": 10}])
async def test_unfinished_uploads_are_announced_within_the_quota(edges: UploadEdges) -> None:
    upload = await edges.here.create(ALICE, 6, "", "")
    assert await error_code(edges.there.create(ALICE, 5, "", "")) is ErrorCode.LIMIT
    await edges.here.remove(upload)
    upload = await edges.there.create(ALICE, 10, "", "")
    upload = await edges.append(upload, b"12345")
    assert (await edges.finish(upload, b"67890")).record.media is not None
    assert await error_code(edges.there.create(ALICE, 1, "", "")) is ErrorCode.LIMIT


@pytest.mark.parametrize("limits", [{"total_bytes": 12}])
async def test_parts_count_as_files_until_they_are_removed(edges: UploadEdges) -> None:
    alice = await edges.append(await edges.here.create(ALICE, 12, "", ""), b"1234567")
    bob = await edges.here.create(BOB, 5, "", "")
    assert await error_code(edges.append(bob, b"123456")) is ErrorCode.LIMIT
    await edges.here.forget(alice)
    assert edges.counters.sums[""] == 0
    bob = await edges.append(bob, b"123")
    await edges.finish(bob, b"45")
    assert edges.counters.sums[""] == 5


async def test_an_expired_upload_is_swept(edges: UploadEdges, media_settings: MediaSettings) -> None:
    upload = await edges.append(await edges.here.create(ALICE, 10, "", ""), b"12345")
    done = await edges.finish(await edges.here.create(ALICE, 3, "", ""), b"123")
    assert not edges.here.has_expired(upload)
    found = await sweep(edges.store, MediaRetention(0, 0), orphan_seconds=-60)
    await sweep_uploads(edges.store, MediaRetention(0, 0), found)
    assert (found.abandoned, found.files, len(await edges.keys(*UPLOAD_KINDS))) == (0, 1, 3)
    assert found.size > 3 + 5, "with the parts"
    edges.ahead = DAY_MS
    assert edges.here.has_expired(upload)
    assert edges.here.has_expired(done)
    after = MediaSweep()
    await sweep_uploads(edges.store, MediaRetention(0, 0, unfinished=-1), after)
    assert (after.abandoned, after.size, await edges.keys(*UPLOAD_KINDS)) == (3, 0, [])
    assert done.record.media is not None
    assert await content(edges.media, done.record.media) == b"123"


async def test_a_removed_upload_leaves_nothing(edges: UploadEdges, media_settings: MediaSettings) -> None:
    upload = await edges.append(await edges.here.create(ALICE, 10, "", ""), b"12345")
    await edges.there.forget(await edges.found(upload))
    assert await edges.here.find(ALICE, upload.id) is None
    assert await edges.keys(*UPLOAD_KINDS, "blobs", "records") == []
    if not media_settings.bucket_url:
        assert [list((media_settings.directory / kind).iterdir()) for kind in UPLOAD_KINDS] == [[], [], []]


async def test_a_part_of_a_removed_upload_is_removed(edges: UploadEdges) -> None:
    """Without this rule, an account could store any number of parts: it would remove the upload during each request."""
    upload = await edges.append(await edges.here.create(ALICE, 20, "", ""), b"12345")
    before = await edges.found(upload)
    upload = await edges.append(upload, b"67890")
    await edges.there.forget(before)
    assert (await edges.keys(*UPLOAD_KINDS), edges.counters.sums[""]) == ([], 0), "with the part that came meanwhile"
    assert await error_code(edges.append(upload, b"12345")) is ErrorCode.NOT_FOUND
    assert (await edges.keys(*UPLOAD_KINDS), edges.counters.sums[""]) == ([], 0), "with the part that came later"


async def test_a_request_that_loses_to_the_last_one_leaves_no_part(edges: UploadEdges) -> None:
    upload = await edges.append(await edges.here.create(ALICE, 20, "", ""), b"12345")
    slow = await edges.append(upload, b"67890")
    assert (await edges.finish(upload, b"678901234567890")).record.media is not None
    assert await error_code(edges.append(slow, b"12345")) is ErrorCode.CONFLICT, "its address still exists"
    assert [key.partition("/")[0] for key in await edges.keys(*UPLOAD_KINDS)] == ["finished"]


async def test_an_upload_has_a_limited_number_of_parts(edges: UploadEdges, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.edge.media.resumable._MAX_PARTS", 2)
    upload = await edges.here.create(ALICE, 10, "", "")
    for data in (b"1", b"2"):
        upload = await edges.append(upload, data)
    assert await error_code(edges.append(upload, b"3")) is ErrorCode.LIMIT
    assert (await edges.finish(upload, b"34567890")).record.media is not None


async def test_while_the_store_is_away_uploads_are_unavailable(
    edges: UploadEdges, media_settings: MediaSettings, break_store: Callable[[], None]
) -> None:
    upload = await edges.append(await edges.here.create(ALICE, 10, "", ""), b"12345")
    break_store()
    if not media_settings.bucket_url:
        for kind in UPLOAD_KINDS:
            (media_settings.directory / kind).rename(media_settings.directory / f"{kind}-away")
            (media_settings.directory / kind).write_bytes(b"in the way")
    failing = (
        edges.here.create(ALICE, 10, "", ""), edges.here.find(ALICE, upload.id), edges.append(upload, b"6"),
        edges.finish(upload, b"67890"), edges.here.remove(upload),
    )  # fmt: skip
    assert set(await asyncio.gather(*map(error_code, failing))) == {ErrorCode.UNAVAILABLE}


async def test_a_key_is_created_once(edges: UploadEdges, tmp_path: Path) -> None:
    sources = [tmp_path / "spool" / str(number) for number in range(5)]
    for source in sources:
        source.write_bytes(source.name.encode())
    created = await asyncio.gather(*(edges.store.create("parts/a/0", source) for source in sources))
    assert Counter(created) == {True: 1, False: 4}
    winner = str(created.index(True)).encode()
    assert not await edges.store.create("parts/a/0", b"later")
    assert await edges.store.load("parts/a/0") == winner
    assert await edges.store.create("parts/ab/0", b"other")
    assert await edges.keys("parts/a") == ["parts/a/0"]
    assert await edges.keys("parts/missing") == []


def test_parts_after_a_gap_are_not_seen() -> None:
    parts = [StoredKey(f"parts/a/{offset:020}", size, 0.0) for offset, size in ((0, 5), (5, 7), (12, 1), (20, 3))]
    assert contiguous(reversed(parts)) == parts[:3]
    assert contiguous(parts[1:]) == []
