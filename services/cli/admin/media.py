"""`dragoman admin media` finds and removes pictures and files directly in the media store."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, NamedTuple

import click
import msgspec

from local.installation import Installation
from local.options import CommandFailed, OperatorError
from services.cli.admin import format
from services.cli.admin.command import json_option, on_installation, record, yes_option
from services.cli.admin.trail import day_ms
from services.cli.console import confirm
from services.edge.media.disk import Disk
from services.edge.media.opening import open_store
from services.edge.media.store import MediaRecord, MediaStore, load_record
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.settings import Settings

_ID = re.compile(r"(?:.*/media/)?([0-9a-f]{32})")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class MediaFilter(NamedTuple):
    """Selects files. A field with its default does not restrict the selection."""

    id: str = ""
    account: AccountId = NO_ACCOUNT
    sha256: str = ""
    before: int | None = None
    """Unix milliseconds."""

    def matches(self, record: MediaRecord, modified_ms: int) -> bool:
        return (
            (not self.id or record.id == self.id)
            and (not self.account or record.account == self.account)
            and (not self.sha256 or record.sha256 == self.sha256)
            and (self.before is None or (record.created or modified_ms) < self.before)
        )


class FoundMedia(msgspec.Struct):
    """A stored file with its address. `account`: the account that has stored the file; 0 if it is unknown. `created`:
    Unix milliseconds."""

    id: str
    account: AccountId
    created: int
    use: str
    size: int
    name: str
    mime: str
    sha256: str


class RemovedMedia(NamedTuple):
    """The result of a removal. `contents`: the number of stored contents that were removed, because no other address
    used them."""

    addresses: int
    contents: int


@click.group()
def media() -> None:
    """Pictures and files: find, remove.

    The commands work on the store itself (media.directory, or the bucket), with the settings of an edge.
    """


def _selected(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that select files. The command gets the selection as the argument `wanted`. An empty value, such
    as that of an unset variable in a script, is an error, because the command would remove more files without it."""

    @click.argument("address", required=False)
    @click.option("--account", metavar="NUMBER", type=click.IntRange(1), help="Files that this account has stored.")
    @click.option("--hash", "sha256", metavar="SHA256", help="Files with this content.")
    @click.option("--before", metavar="DAY", help="Files from before this day (UTC), as 2026-01-31.")
    @wraps(command)
    def run(
        *args: Any, address: str | None, account: int | None, sha256: str | None, before: str | None, **options: Any
    ) -> None:
        wanted = MediaFilter(
            "" if address is None else _media_id(address),
            AccountId(account or 0),
            "" if sha256 is None else _hash(sha256.lower()),
            None if before is None else day_ms(before),
        )
        command(*args, wanted=wanted, **options)

    return run


@media.command("find")
@on_installation
@_selected
@json_option
def media_find(installation: Installation, wanted: MediaFilter, as_json: bool) -> None:
    """List pictures and files.

    Files are named by ADDRESS (or the last part of it), account, content or age.
    """
    found = asyncio.run(_find(installation.settings, wanted))
    format.show(found, _text, as_json=as_json)


@media.command("remove", epilog="Example: dragoman admin media remove --account 7 --before 2026-01-31")
@on_installation
@_selected
@yes_option
def media_remove(installation: Installation, wanted: MediaFilter, yes: bool) -> None:
    """Remove files; afterwards, their addresses lead nowhere.

    This cannot be undone. Edges that have used an address recently forget it within five minutes. Content without
    another address is removed at once.
    """
    if wanted == MediaFilter():
        raise click.UsageError("name an ADDRESS, --account, --hash or --before")
    found = asyncio.run(_find(installation.settings, wanted))
    if not found:
        return click.echo("there are no such files")
    if not yes:
        click.echo(_text(found))
    confirm(f"Remove these {len(found)}?", yes=yes)
    removed = asyncio.run(_remove(installation.settings, found))
    record(installation, "remove media", " ".join(one.id for one in found))
    click.echo(f"removed: {removed.addresses} addresses, {removed.contents} contents")


def _media_id(address: str) -> str:
    """The id in an address, or the id itself. Raises OperatorError."""
    if (found := _ID.fullmatch(address)) is None:
        raise OperatorError(
            f"{address!r} is not the address of a picture or file", "Give one that ends with 32 hexadecimal digits"
        )
    return found[1]


def _hash(sha256: str) -> str:
    """Raises OperatorError."""
    if not _SHA256.fullmatch(sha256):
        raise OperatorError(f"{sha256!r} is not a SHA-256 hash", "Give 64 hexadecimal digits")
    return sha256


async def _find(settings: Settings, wanted: MediaFilter) -> list[FoundMedia]:
    """The selected files, oldest first. Raises OperatorError."""
    async with _opened(settings) as store:
        found = [
            _shown(record, modified) async for record, modified in _records(store) if wanted.matches(record, modified)
        ]
    return sorted(found, key=lambda one: (one.created, one.id))


async def _remove(settings: Settings, found: Sequence[FoundMedia]) -> RemovedMedia:
    """Remove these addresses, and content that has no other address. Raises OperatorError."""
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
        raise CommandFailed(
            f"the files cannot be read or removed: {error}",
            "Correct media.directory or the bucket, and its permissions",
        ) from error
    finally:
        await disk.close()


async def _records(store: MediaStore) -> AsyncIterator[tuple[MediaRecord, int]]:
    """The records of all files, each with the time (Unix milliseconds) at which it was written."""
    async for batch in store.list("records"):
        for stored in batch:
            if (record := await load_record(store, stored.key)) is not None:
                yield record, int(stored.modified * 1000)


def _shown(record: MediaRecord, modified_ms: int) -> FoundMedia:
    use = record.use.name.lower() if record.created else "unknown"
    created = record.created or modified_ms
    return FoundMedia(record.id, record.account, created, use, record.size, record.name, record.mime, record.sha256)


def _text(found: Sequence[FoundMedia]) -> str:
    heads = ["ID", "ACCOUNT", "STORED", "USE", "BYTES", "NAME"]
    rows = (
        (one.id, format.account(one.account), format.moment(one.created), one.use, one.size, one.name) for one in found
    )
    return format.table(heads, rows, "there are no such files")
