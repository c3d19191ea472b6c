"""A backup: the databases, the keys of tokens, pictures and files, in one directory; and the way back.

DIR/message.db session.db auth.db    of SQLite, each one moment of it
DIR/*.dump                           of PostgreSQL, by pg_dump, named after the services in it
DIR/keys/ DIR/media/                 copies; with a bucket, media stay there
DIR/backup.json                      comes last: without it a backup is not whole
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from services.cli.backup import postgresql, sqlite
from services.cli.data import locked, prepare
from services.cli.embedded.credentials import write_private
from services.cli.options import OperatorError
from services.edge.media.directory import DIRECTORIES
from shared.clock import now_ms
from shared.settings import Settings

_MANIFEST = "backup.json"
_KEYS = "keys"
_MEDIA = "media"


class Manifest(msgspec.Struct, frozen=True):
    """`version` is Dragoman's; `made`: Unix milliseconds; `databases`: sqlite or postgresql."""

    version: str
    made: int
    databases: str
    media: bool


@contextmanager
def _owner_only() -> Iterator[None]:
    """Whatever is made."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@_owner_only()
def back_up(settings: Settings, directory: Path, version: str) -> Manifest:
    """While everything runs, too. What refers to something is copied before it, so that nothing is missing that
    is referred to. Raises Refusal, OSError, and what the databases raise."""
    _require_empty(directory)
    kind = _kind(settings)
    (sqlite.back_up if kind == "sqlite" else postgresql.back_up)(settings, directory)
    (directory / _KEYS).mkdir()
    for key in settings.auth.keys.glob("*.pem"):
        write_private(directory / _KEYS / key.name, key.read_bytes())
    if with_media := not settings.media.bucket_url:
        _copy_media(settings.media.directory, directory / _MEDIA)
    manifest = Manifest(version, now_ms(), kind, with_media)
    write_private(directory / _MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    return manifest


def write_metric(manifest: Manifest, file: Path) -> None:
    """When the backup was made, for Prometheus; replaced at once, readable by all. Raises OSError."""
    registry = CollectorRegistry()
    Gauge("dragoman_backup_time_seconds", "When the last backup was made, Unix time", registry=registry).set(
        manifest.made / 1000
    )
    write_to_textfile(str(file), registry)


@_owner_only()
def restore(settings: Settings, directory: Path) -> Manifest:
    """Into an installation that does not run and holds nothing yet. Raises as `back_up`."""
    manifest = _manifest(directory)
    if manifest.databases != _kind(settings):
        raise OperatorError(f"the backup is of {manifest.databases}, database.url of {_kind(settings)}")
    prepare(settings.data)
    with locked(settings.data):
        _require_nothing(settings)
        (sqlite.restore if manifest.databases == "sqlite" else postgresql.restore)(settings, directory)
        settings.auth.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        for key in (directory / _KEYS).glob("*.pem"):
            write_private(settings.auth.keys / key.name, key.read_bytes())
        if manifest.media:
            _copy_media(directory / _MEDIA, settings.media.directory)
    return manifest


def _kind(settings: Settings) -> str:
    return "sqlite" if settings.database_url("auth").startswith("sqlite") else "postgresql"


def _manifest(directory: Path) -> Manifest:
    try:
        return msgspec.json.decode((directory / _MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise OperatorError(f"{directory} is no backup, or not a whole one: {_MANIFEST} cannot be read") from error


def _require_empty(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        filled = any(directory.iterdir())
    except OSError as error:
        raise OperatorError(f"the directory {directory} cannot be made: {error.strerror}") from error
    if filled:
        raise OperatorError(f"the directory {directory} is not empty: each backup has one of its own")


def _require_nothing(settings: Settings) -> None:
    """Nothing is ever overwritten."""
    media = [settings.media.directory / room for room in DIRECTORIES]
    filled = [place for place in (settings.auth.keys, *media) if place.is_dir() and any(place.glob("[!.]*"))]
    if filled:
        raise OperatorError(f"{filled[0]} is not empty: nothing is overwritten, restore into a new installation")


def _copy_media(source: Path, target: Path) -> None:
    """First the records, then what they refer to."""
    for room in DIRECTORIES:
        (target / room).mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in (source / room).glob("*"):
            shutil.copyfile(file, target / room / file.name)
