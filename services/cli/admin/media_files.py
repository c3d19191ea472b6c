"""Finds and removes pictures and files, directly in their store."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec

from local.options import OperatorError
from services.edge.media.disk import Disk
from services.edge.media.opening import open_store
from services.edge.media.store import MediaRecord, MediaStore, load_record
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.settings import Settings

_ID = re.compile(r"(?:.*/media/)?([0-9a-f]{32})")


class MediaFilter(NamedTuple):
    """Empty fields do not restrict."""

    id: str = ""
    account: AccountId = NO_ACCOUNT
    sha256: str = ""
    before: int = 0
    """Unix milliseconds."""

    def matches(self, record: MediaRecord, modified_ms: int) -> bool:
        return (
            (not self.id or record.id == self.id)
            and (not self.account or record.account == self.account)
            and (not self.sha256 or record.sha256 == self.sha256)
            and (not self.before or (record.created or modified_ms) < self.before)
        )


class FoundMedia(msgspec.Struct):
    """One address. `account`: 0 if it is not known. `created`: Unix milliseconds."""

    id: str
    account: AccountId
    created: int
    use: str
    size: int
    name: str
    mime: str
    sha256: str


class RemovedMedia(NamedTuple):
    """`contents`: those that no other address has."""

    addresses: int
    contents: int


def media_id(address: str) -> str:
    """Of an address or an id. Raises OperatorError."""
    if (found := _ID.fullmatch(address)) is None:
        raise OperatorError(f"{address} is no address of a picture or file: it ends with 32 hexadecimal digits")
    return found[1]


async def find(settings: Settings, wanted: MediaFilter) -> list[FoundMedia]:
    """Oldest first. Raises OperatorError."""
    async with _opened(settings) as store:
        found = [
            _shown(record, modified) async for record, modified in _records(store) if wanted.matches(record, modified)
        ]
    return sorted(found, key=lambda one: (one.created, one.id))


async def remove(settings: Settings, found: Sequence[FoundMedia]) -> RemovedMedia:
    """Remove these addresses, and the content that no other address has. Raises OperatorError."""
    async with _opened(settings) as store:
        addresses = sum([await store.delete(f"records/{one.id}") for one in found])
        referenced = {record.sha256 async for record, _ in _records(store)}
        unreferenced = {one.sha256 for one in found} - referenced
        contents = sum([await store.delete(f"blobs/{one}") for one in unreferenced])
        return RemovedMedia(addresses, contents)


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[MediaStore]:
    disk = Disk()
    try:
        yield open_store(settings.media, disk)
    except OSError as error:
        raise OperatorError(f"the files cannot be read or removed: {error}") from error
    finally:
        await disk.close()


async def _records(store: MediaStore) -> AsyncIterator[tuple[MediaRecord, int]]:
    """With the times (Unix milliseconds) at which they were written."""
    async for batch in store.list("records"):
        for stored in batch:
            if (record := await load_record(store, stored.key)) is not None:
                yield record, int(stored.modified * 1000)


def _shown(record: MediaRecord, modified_ms: int) -> FoundMedia:
    use = record.use.name.lower() if record.created else "unknown"
    created = record.created or modified_ms
    return FoundMedia(record.id, record.account, created, use, record.size, record.name, record.mime, record.sha256)
