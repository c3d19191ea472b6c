"""The store in an S3-compatible bucket, for edges on many machines."""

import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from services.edge.media.store import CHUNK_BYTES, FRESH_SECONDS, StoredKey
from shared.settings.messages import MediaSettings

if TYPE_CHECKING:
    from obstore import ObjectMeta  # these types exist only for type checkers
    from obstore.store import S3Config

_WINDOW_BYTES = 1024 * 1024
"""The bytes that one request reads. The number is small, so that a slow reader holds no request open."""
_PART_BYTES = 8 * 1024 * 1024
_PARTS_AT_ONCE = 4
_LISTED_AT_ONCE = 500
_CONNECT = timedelta(seconds=5)
_RETRIES = 3
_ERROR_CHARACTERS = 300


class BucketStore:
    """Implements services.edge.media.store.MediaStore. A failing call is retried a few times before it raises
    OSError."""

    def __init__(self, settings: MediaSettings) -> None:
        limit = timedelta(seconds=settings.timeout_seconds)
        self._bucket = S3Store.from_url(
            settings.bucket_url,
            config=_config(settings),
            client_options={
                "timeout": limit, "connect_timeout": _CONNECT, "allow_http": settings.endpoint.startswith("http://"),
            },
            retry_config={
                "max_retries": _RETRIES, "retry_timeout": limit,
                "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=1), "base": 2},
            },
        )  # fmt: skip

    async def prepare(self) -> None:
        """Do nothing here, because the operator creates the bucket. While the bucket is unreachable, everything else
        works."""

    async def put(self, key: str, source: Path, size: int) -> bool:
        with _as_os_error():
            stored = await self._head(key)
            is_new = stored is None or stored["size"] != size
            if stored is None or is_new or stored["last_modified"].timestamp() < time.time() - FRESH_SECONDS:
                await self._put_file(key, source)
                # A sweeper may have found the older content just before, and remove the new one in its place.
                if not is_new and await self._head(key) is None:
                    await self._put_file(key, source)
        return is_new

    async def _put_file(self, key: str, source: Path) -> None:
        await obstore.put_async(self._bucket, key, source, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)

    async def write(self, key: str, data: bytes) -> None:
        with _as_os_error():
            await obstore.put_async(self._bucket, key, data)

    async def create(self, key: str, source: Path | bytes) -> bool:
        with _as_os_error():
            try:
                await obstore.put_async(self._bucket, key, source, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    async def load(self, key: str) -> bytes | None:
        with _as_os_error():
            try:
                return bytes(await (await obstore.get_async(self._bucket, key)).bytes_async())
            except FileNotFoundError:
                return None

    async def read(self, key: str, start: int, stop: int) -> AsyncGenerator[bytes]:
        while start < stop:
            with _as_os_error():
                window = memoryview(
                    await obstore.get_range_async(self._bucket, key, start=start, end=min(start + _WINDOW_BYTES, stop))
                )
            start += len(window)
            for chunk in range(0, len(window), CHUNK_BYTES):
                yield bytes(window[chunk : chunk + CHUNK_BYTES])

    async def list(self, kind: str) -> AsyncGenerator[Sequence[StoredKey]]:
        with _as_os_error():
            async for batch in obstore.list(self._bucket, kind, chunk_size=_LISTED_AT_ONCE):
                yield [StoredKey(one["path"], one["size"], one["last_modified"].timestamp()) for one in batch]

    async def delete(self, key: str, *, older_than: float | None = None) -> bool:
        with _as_os_error():
            stored = await self._head(key)
            if stored is None or (older_than is not None and stored["last_modified"].timestamp() >= older_than):
                return False
            await obstore.delete_async(self._bucket, key)
        return True

    async def _head(self, key: str) -> "ObjectMeta | None":
        try:
            return await obstore.head_async(self._bucket, key)
        except FileNotFoundError:
            return None


def _config(settings: MediaSettings) -> "S3Config":
    """Values that the settings leave out come from the environment, as in other S3 clients, or from the role of the
    machine."""
    config: S3Config = {}
    if settings.endpoint:
        config["endpoint"] = settings.endpoint
    if settings.region:
        config["region"] = settings.region
    if settings.access_key:
        config["access_key_id"] = settings.access_key.get_secret_value()
        config["secret_access_key"] = settings.secret_key.get_secret_value()
    return config


@contextmanager
def _as_os_error() -> Iterator[None]:
    try:
        yield
    except BaseError as error:
        raise OSError(f"{type(error).__name__}: {str(error)[:_ERROR_CHARACTERS]}") from error
