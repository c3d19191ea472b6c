"""Uploads that are sent in several requests. The parts of an upload are in the media store, so that any edge can
continue the upload.

The key of a part contains the offset of its first byte, and can be created only once. If two requests continue an
upload at the same offset, on any edges, only one of them succeeds. So there are neither gaps nor overlaps between the
parts.
"""

import hashlib
import re
import secrets
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from functools import partial

import msgspec
from msgspec.structs import replace

from services.edge.media.mime_sniffing import media_kind
from services.edge.media.quota import MediaQuota
from services.edge.media.service import MediaService
from services.edge.media.store import MediaStore, StoredKey, StoreFailures
from services.edge.media.upload_buffer import Upload
from services.edge.metrics import EdgeMetrics
from shared.clock import now_ms
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Media
from shared.settings import Settings

PART_BYTES = 8 * 1024 * 1024
"""The size of a part. A longer request is stored in parts of this size while it arrives."""
_MAX_PARTS = 10_000
_DAY_MS = 86_400_000
_ID = re.compile(r"[0-9a-f]{32}")
_NONCE_USED = "another upload of yours has this nonce"


class UploadRecord(msgspec.Struct, frozen=True):
    """The record of an upload as it is stored. `length`: the bytes of the whole file. `metadata`: the metadata as the
    client has written them. `created`: Unix milliseconds. `media`: the finished file."""

    account: AccountId
    length: int
    name: str
    metadata: str
    created: int
    media: Media | None = None


class ResumableUpload(msgspec.Struct, frozen=True):
    """`offset`: the number of stored bytes. It equals the length once the upload is finished. `expires`: Unix
    milliseconds."""

    id: str
    record: UploadRecord
    expires: int
    offset: int = 0
    parts: Sequence[StoredKey] = ()


_decode = msgspec.json.Decoder(UploadRecord).decode


class ResumableUploads:
    """`now` is a function that returns Unix milliseconds. Every call may raise RequestError."""

    def __init__(
        self,
        store: MediaStore,
        media: MediaService,
        settings: Settings,
        metrics: EdgeMetrics,
        quota: MediaQuota,
        now: Callable[[], int] = now_ms,
    ) -> None:
        self._store = store
        self._media = media
        self._failures = StoreFailures(metrics, settings.media.timeout_seconds)
        self._quota = quota
        self._now = now
        self._life_ms = int(settings.media.unfinished_days * _DAY_MS)
        self._limit = settings.limits.unfinished_uploads

    async def create(
        self, account: AccountId, length: int, name: str, metadata: str, nonce: str = ""
    ) -> ResumableUpload:
        """Create an upload. If an upload with the same `nonce` exists, it is returned. Raises RequestError with LIMIT
        if the account has too many uploads or exceeds its quota, and with CONFLICT if the upload with this nonce is
        another one. The uploads are counted after the record of this upload is stored. So uploads that are created at
        the same time, on any edges, are all counted."""
        id = _id_under(account, nonce) if nonce else secrets.token_hex(16)
        record = UploadRecord(account, length, name, metadata, self._now())
        upload = self._upload(id, record)
        if nonce and (first := await self.find(account, id)) is not None:
            return _same(first, record)
        async with self._failures.within_time("keep"):
            is_new = await self._store.create(f"uploads/{account}/{id}", msgspec.json.encode(record))
        if not is_new:
            return _same(await self.find(account, id) or upload, record)
        try:
            await self._check_limits(account)
        except RequestError:
            with suppress(RequestError):  # the error is logged, and the sweeper removes the upload later
                await self.remove(upload)
            raise
        return upload

    async def has_stored(self, account: AccountId, nonce: str) -> bool:
        """Whether an upload with this nonce exists."""
        return await self.find(account, _id_under(account, nonce)) is not None

    async def store_once(self, account: AccountId, nonce: str, whole: Upload, name: str) -> Media:
        """Store a file that has arrived in one request, and end the upload. Raises RequestError (CONFLICT) if another
        file has the nonce."""
        upload = self._upload(_id_under(account, nonce), UploadRecord(account, whole.size, name, "", self._now()))
        try:
            if (first := await self.find(account, upload.id)) is not None and first.record.media is None:
                raise RequestError(ErrorCode.CONFLICT, _NONCE_USED, "nonce")
            return await self._keep(whole, upload)
        finally:
            whole.drop()

    async def find(self, account: AccountId, id: str) -> ResumableUpload | None:
        """Find an upload of this account by its id. The result is None if it does not exist. It may have expired."""
        if not _ID.fullmatch(id):
            return None
        async with self._failures.within_time("find"):
            stored = [part async for batch in self._store.list(f"parts/{id}") for part in batch]
            # The record is read last, because a finished upload first removes its parts and then its record.
            if (record := await self._load(f"uploads/{account}/{id}")) is not None:
                return self._upload(id, record, contiguous(stored))
            record = await self._load(f"finished/{account}/{id}")
        if record is None or record.media is None or not await self._media.has(record.media.id):
            return None  # another request has claimed the upload but may not have stored the file yet
        return replace(self._upload(id, record), offset=record.length)

    def start_part(self, upload: ResumableUpload) -> Upload:
        """Begin the next part. The caller writes to the part, and then appends or drops it."""
        return self._media.start_upload(upload.record.account)

    async def append(self, upload: ResumableUpload, part: Upload) -> ResumableUpload:
        """Store a part durably. Raises RequestError with CONFLICT if another request has continued or finished the
        upload, and with NOT_FOUND if another request has removed it."""
        key = f"parts/{upload.id}/{upload.offset:020}"
        try:
            if len(upload.parts) >= _MAX_PARTS:
                raise RequestError(ErrorCode.LIMIT, f"an upload has at most {_MAX_PARTS} parts")
            await self._quota.reserve(NO_ACCOUNT, part.size)
            if not await self._create_part(key, part):
                raise RequestError(ErrorCode.CONFLICT, "another request has continued this upload")
        finally:
            part.drop()
        await self._check_unfinished(upload, StoredKey(key, part.size, 0.0))
        parts = (*upload.parts, StoredKey(key, part.size, 0.0))
        return replace(upload, offset=upload.offset + part.size, parts=parts)

    async def finish(self, upload: ResumableUpload, last: Upload) -> ResumableUpload:
        """Store the file, which consists of the parts and the last bytes. If several requests finish an upload, all get
        the same file."""
        record = upload.record
        try:
            media = await self._keep(await self._join(upload, last) if upload.parts else last, upload)
        except RequestError:
            if (found := await self.find(record.account, upload.id)) is None or found.record.media is None:
                raise
            return found
        finally:
            last.drop()
        with suppress(RequestError):  # the error is logged, and the sweeper removes the rest later
            await self.remove(upload)
        return replace(upload, record=replace(record, media=media), offset=record.length, parts=())

    async def remove(self, upload: ResumableUpload) -> None:
        """Remove an unfinished upload, with the parts that other requests have stored meanwhile. If a request stores a
        part later, it finds no record, and removes its part itself."""
        async with self._failures.within_time("remove"):
            await self._store.delete(f"uploads/{upload.record.account}/{upload.id}")
            parts = [part async for batch in self._store.list(f"parts/{upload.id}") for part in batch]
        for part in parts:
            await self._remove_part(part)

    async def forget(self, upload: ResumableUpload) -> None:
        """Remove the address of an upload, finished or not. If it is finished, its file stays."""
        await self.remove(upload)
        async with self._failures.within_time("remove"):
            await self._store.delete(f"finished/{upload.record.account}/{upload.id}")

    def has_expired(self, upload: ResumableUpload) -> bool:
        return upload.expires <= self._now()

    def _upload(self, id: str, record: UploadRecord, parts: Sequence[StoredKey] = ()) -> ResumableUpload:
        offset = sum(part.size for part in parts)
        return ResumableUpload(id, record, record.created + self._life_ms, offset, parts)

    async def _check_limits(self, account: AccountId) -> None:
        lengths = await self._unfinished_lengths(account)
        if len(lengths) > self._limit:
            raise RequestError(ErrorCode.LIMIT, f"an account has at most {self._limit} unfinished uploads")
        await self._quota.check(account, sum(lengths))

    async def _unfinished_lengths(self, account: AccountId) -> list[int]:
        async with self._failures.within_time("find"):
            keys = [stored.key async for batch in self._store.list(f"uploads/{account}") for stored in batch]
            records = [record for key in keys if (record := await self._load(key)) is not None]
        return [record.length for record in records if record.created + self._life_ms > self._now()]

    async def _create_part(self, key: str, part: Upload) -> bool:
        is_created = False
        try:
            async with self._failures.within_time("keep"):
                source, _ = await part.finish()
                is_created = await self._store.create(key, source)
        finally:
            if not is_created:
                await self._quota.give_back(NO_ACCOUNT, part.size)
        return is_created

    async def _check_unfinished(self, upload: ResumableUpload, part: StoredKey) -> None:
        """If the upload has been finished or removed, remove the part that was just stored, and raise RequestError. The
        error must show whether the upload is finished. A tus client continues after a conflict, but gives up an address
        that is not found."""
        address = f"{upload.record.account}/{upload.id}"
        async with self._failures.within_time("find"):
            if await self._load(f"uploads/{address}") is not None:
                return
            # to finish an upload, this record is stored first, and then the other record is removed
            is_finished = await self._load(f"finished/{address}") is not None
        await self._remove_part(part)
        if is_finished:
            raise RequestError(ErrorCode.CONFLICT, "another request has finished this upload")
        raise RequestError(ErrorCode.NOT_FOUND, "another request has removed this upload")

    async def _remove_part(self, part: StoredKey) -> None:
        async with self._failures.within_time("remove"):
            is_removed = await self._store.delete(part.key)
        if is_removed:
            await self._quota.give_back(NO_ACCOUNT, part.size)

    async def _load(self, key: str) -> UploadRecord | None:
        loaded = await self._store.load(key)
        return None if loaded is None else _decode(loaded)

    async def _keep(self, whole: Upload, upload: ResumableUpload) -> Media:
        """Store the file of the upload. Raises RequestError with CONFLICT if another file was claimed for the
        upload."""
        record = upload.record
        claim = partial(self._claim, upload)
        return await self._media.store(whole, media_kind(whole.head), record.name, account=record.account, claim=claim)

    async def _claim(self, upload: ResumableUpload, media: Media) -> Media:
        """Note the address of the file in the upload, before the file is stored. If an edge crashes and the client
        repeats its last request, the file is stored at the same address."""
        record = replace(upload.record, media=media)
        key = f"finished/{record.account}/{upload.id}"
        async with self._failures.within_time("keep"):
            if await self._store.create(key, msgspec.json.encode(record)):
                return media
            claimed = await self._load(key) or record
        if claimed.media is None or (claimed.name, claimed.media.sha256) != (record.name, media.sha256):
            raise RequestError(ErrorCode.CONFLICT, _NONCE_USED, "nonce")
        return claimed.media

    async def _join(self, upload: ResumableUpload, last: Upload) -> Upload:
        """Join the parts and the last bytes. The quota of the account is not checked here, because `last` is counted
        already."""
        whole = self._media.start_upload()
        try:
            for part in upload.parts:
                async with aclosing(self._store.read(part.key, 0, part.size)) as chunks:
                    while (chunk := await self._next_chunk(chunks)) is not None:
                        await whole.write(chunk)
            async with aclosing(last.read()) as chunks:
                async for chunk in chunks:
                    await whole.write(chunk)
        except BaseException:
            whole.drop()
            raise
        return whole

    async def _next_chunk(self, chunks: AsyncGenerator[bytes]) -> bytes | None:
        async with self._failures.within_time("read"):
            return await anext(chunks, None)


def _id_under(account: AccountId, nonce: str) -> str:
    """The id of the upload that an account creates with this nonce. Every edge computes the same id. The id does not
    reveal the address of the file."""
    return hashlib.sha256(f"{account} {nonce}".encode()).hexdigest()[:32]


def _same(first: ResumableUpload, record: UploadRecord) -> ResumableUpload:
    if (first.record.length, first.record.metadata) != (record.length, record.metadata):
        raise RequestError(ErrorCode.CONFLICT, _NONCE_USED, "nonce")
    return first


def contiguous(stored: Iterable[StoredKey]) -> list[StoredKey]:
    """The parts from the first byte up to the first gap. The store's listing may lack the newest parts. This function
    is pure."""
    parts, end = list[StoredKey](), 0
    for part in sorted(stored):
        if int(part.key.rpartition("/")[2]) != end:
            break
        parts.append(part)
        end += part.size
    return parts
