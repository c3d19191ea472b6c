"""`dragoman backup` and `dragoman restore`: the databases, signing keys and media are copied into one directory, and
restored.

DIR/message.db session.db auth.db    SQLite databases, each a consistent snapshot
DIR/*.dump                           PostgreSQL databases by pg_dump, named after the services whose data they have
DIR/keys/ DIR/media/                 copies; media in a bucket are not copied
DIR/push.key                         the private key of notifications; push.previous.key: the previous key
DIR/backup.json                      the manifest, written last: a backup without it is incomplete
"""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from local.atomic_file import write_output, write_private
from local.credentials import DAMAGED, Credentials
from local.data import locked, prepare
from local.installation import find, find_existing
from local.options import CommandFailed, FilePath, OperatorError, data_option, flags_of, settings_options
from services.cli.backup import postgresql, sqlite
from services.cli.databases import check_together, database_urls, skip_numbers
from services.edge.media.directory import DIRECTORIES
from services.message.store.installation import renew_epoch
from shared.clock import now_ms
from shared.settings import Settings
from shared.version import VERSION

_ANOTHER = "Restore another backup"
_MANIFEST = "backup.json"
_KEYS = "keys"
_MEDIA = "media"
_LOST = {
    "auth": "accounts, new passwords, disabled accounts, logouts and bots",
    "session": "profiles, friends, groups, members, bans and webhooks",
    "message": "messages, edits, reactions and read positions",
}
"""The data that is lost if only this database is restored."""


class Manifest(msgspec.Struct, frozen=True):
    """The description of a backup. `version`: the version of Dragoman. `made`: Unix milliseconds. `databases`: sqlite
    or postgresql. `media`: whether the backup contains media. `stores`: the names of the databases. `digests`: the
    SHA-256 hashes of databases and keys by name; older backups have none."""

    version: str
    made: int
    databases: str
    media: bool
    stores: tuple[str, ...] = ("message", "session", "auth")
    digests: dict[str, str] = {}


@contextmanager
def _owner_only() -> Iterator[None]:
    """Makes new files and directories private to their owner."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@_owner_only()
def back_up(settings: Settings, directory: Path, version: str) -> Manifest:
    """Back up an installation, which may be running. A failed backup leaves no files. References are copied before
    their targets, so that no target is missing. Raises OperatorError, OSError, and the errors of the databases'
    modules."""
    with _new(directory):
        return _fill(settings, directory, version)


def _fill(settings: Settings, directory: Path, version: str) -> Manifest:
    urls, kind = database_urls(settings), _kind(settings)
    (sqlite.back_up if kind == "sqlite" else postgresql.back_up)(urls, directory)
    (directory / _KEYS).mkdir()
    for key in settings.auth.keys.glob("*.pem"):
        write_private(directory / _KEYS / key.name, key.read_bytes())
    _keep_push_keys(settings, directory)
    if with_media := not settings.media.bucket_url:
        _copy_media(settings.media.directory, directory / _MEDIA)
    manifest = Manifest(version, now_ms(), kind, with_media, tuple(urls), _digests_of(directory, _KEYS))
    write_private(directory / _MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    return manifest


def write_metric(manifest: Manifest, file: Path) -> None:
    """Write the backup's time for Prometheus, readable by all users. Raises CommandFailed."""
    registry = CollectorRegistry()
    Gauge("dragoman_backup_time_seconds", "Unix time at which the last backup was made", registry=registry).set(
        manifest.made / 1000
    )
    write_output(file, generate_latest(registry), mode=0o644)


@_owner_only()
def restore_all(settings: Settings, directory: Path) -> str:
    """Restore into an installation that is stopped and empty. After a failure, it is still empty. Returns a text about
    what was not restored, or an empty text. Raises the errors of `back_up`."""
    manifest, urls = _manifest(directory), database_urls(settings)
    _require_kind(manifest, settings)
    if set(manifest.stores) != urls.keys():
        raise OperatorError(
            f"the backup is of the databases {', '.join(manifest.stores)}, the settings are of {', '.join(urls)}",
            "Give the settings with which the backup was made",
        )
    _verify(directory, manifest.digests, [_KEYS, *(f"{_MEDIA}/{room}" for room in DIRECTORIES if manifest.media)])
    prepare(settings.data)
    with locked(settings.data), ExitStack() as undo:
        _require_nothing(settings)
        (sqlite if manifest.databases == "sqlite" else postgresql).restore(urls, directory, undo)
        renew_epoch(urls["message"])
        skip_numbers(settings)
        undo.callback(_empty, settings)
        settings.auth.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        for key in (directory / _KEYS).glob("*.pem"):
            write_private(settings.auth.keys / key.name, key.read_bytes())
        if manifest.media:
            _copy_media(directory / _MEDIA, settings.media.directory)
        missing = _restore_push_keys(settings, directory)
        undo.pop_all()
    return missing


@_owner_only()
def restore_only(settings: Settings, directory: Path, name: str) -> str:
    """Restore one missing database of a stopped installation that still has its other databases. Returns a text about
    the data that is lost. Raises the errors of `back_up`."""
    manifest, urls = _manifest(directory), database_urls(settings)
    _require_kind(manifest, settings)
    _verify(directory, manifest.digests, ())
    prepare(settings.data)
    with locked(settings.data), ExitStack() as undo:
        if manifest.databases == "sqlite":
            sqlite.restore({name: urls[name]}, directory, undo)
        else:
            postgresql.restore(urls, directory, undo, only=name)
        if name == "message":
            renew_epoch(urls[name])
        undo.pop_all()
    made = datetime.fromtimestamp(manifest.made / 1000, UTC)
    return f"the database {name} has its state of {made:%Y-%m-%d %H:%M:%S} UTC: {_LOST[name]} since then are lost"


def _require_kind(manifest: Manifest, settings: Settings) -> None:
    if manifest.databases != _kind(settings):
        raise OperatorError(
            f"the backup holds {manifest.databases} databases, and database.url names {_kind(settings)}",
            "Give the database.url with which the backup was made",
        )


def _kind(settings: Settings) -> str:
    kinds = {"sqlite" if url.startswith("sqlite") else "postgresql" for url in database_urls(settings).values()}
    if len(kinds) > 1:
        raise OperatorError("some databases are of SQLite, others of PostgreSQL", "Back them up with their own tools")
    return kinds.pop()


def _manifest(directory: Path) -> Manifest:
    try:
        return msgspec.json.decode((directory / _MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise OperatorError(f"{directory} is not a complete backup: {_MANIFEST} cannot be read", _ANOTHER) from error


@contextmanager
def _new(directory: Path) -> Iterator[None]:
    """Makes a directory, or takes an empty one. If the block fails, the directory is removed or emptied again. Raises
    OperatorError."""
    existed = directory.exists()
    _require_empty(directory)
    try:
        yield
    except BaseException:
        for path in directory.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        if not existed:
            directory.rmdir()
        raise


def _require_empty(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        filled = any(directory.iterdir())
    except OSError as error:
        raise OperatorError(
            f"the directory {directory} cannot be created: {error.strerror}",
            "Let this user write there, or name another",
        ) from error
    if filled:
        raise OperatorError(f"the directory {directory} is not empty", "Name a new directory for each backup")


def _require_nothing(settings: Settings) -> None:
    """Checks that no keys or media would be overwritten. Raises OperatorError."""
    media = [settings.media.directory / room for room in DIRECTORIES]
    filled = [place for place in (settings.auth.keys, *media) if place.is_dir() and any(place.glob("[!.]*"))]
    if filled:
        raise OperatorError(f"{filled[0]} is not empty, and nothing is overwritten", "Restore into a new installation")


def _empty(settings: Settings) -> None:
    """Removes the files that a failed restore has copied into empty places."""
    for place in (settings.auth.keys, *(settings.media.directory / room for room in DIRECTORIES)):
        for file in place.glob("[!.]*"):
            file.unlink()


def _copy_media(source: Path, target: Path) -> None:
    """Copies records before the blobs to which they refer."""
    for room in DIRECTORIES:
        (target / room).mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in (source / room).glob("*"):
            with suppress(FileNotFoundError):  # the file may have expired just now
                shutil.copyfile(file, target / room / file.name)


def _digests_of(directory: Path, keys: str) -> dict[str, str]:
    """The digest of each database and of each key in `keys`, by name. Raises OSError."""
    files = [path for path in (*directory.iterdir(), *(directory / keys).glob("*.pem")) if path.is_file()]
    return {str(path.relative_to(directory)): _digest(path) for path in files}


def _verify(directory: Path, digests: Mapping[str, str], required: Iterable[str]) -> None:
    """Checks the files of a backup. `required`: the names of directories and files that must exist. Raises
    OperatorError."""
    for name in (*digests, *required):
        if not (directory / name).exists():
            raise OperatorError(f"{directory / name} is missing, so the backup is incomplete", _ANOTHER)
    for name, digest in digests.items():
        try:
            found = _digest(directory / name)
        except OSError as error:
            raise OperatorError(
                f"{directory / name} cannot be read: {error.strerror}", "Let this user read the backup"
            ) from error
        if found != digest:
            raise OperatorError(f"{directory / name} is damaged, or belongs to another backup", _ANOTHER)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_PUSH_KEY, _PREVIOUS_PUSH_KEY = "push.key", "push.previous.key"
_CREDENTIALS = "credentials.json"
_OTHERWISE = "otherwise, devices are notified again only after their clients have started"


def _keep_push_keys(settings: Settings, directory: Path) -> None:
    """Copies the keys into a backup, if this machine has them. Raises OSError, OperatorError."""
    for name, key in (
        (_PUSH_KEY, _known_push_key(settings)),
        (_PREVIOUS_PUSH_KEY, settings.push.previous_key.get_secret_value()),
    ):
        if key:
            write_private(directory / name, key.encode())


def _restore_push_keys(settings: Settings, directory: Path) -> str:
    """Restores the key of a backup for `dragoman up`. Returns a text about what the operator must do, or an empty text.
    Raises OSError, OperatorError."""
    file, known = directory / _PUSH_KEY, _known_push_key(settings)
    if not file.exists():
        missing = f"the backup has no push.key: set the key of the backed-up system, {_OTHERWISE}"
        return missing if settings.push.enabled else ""
    key = file.read_text()
    if known not in ("", key):
        return f"push.key differs from {file}: set push.previous_key to the key in that file, {_OTHERWISE}"
    if not known:
        content = msgspec.json.encode(Credentials({}, {}, push_key=key))  # `up` completes it
        write_private(settings.data / _CREDENTIALS, msgspec.json.format(content))
    previous = directory / _PREVIOUS_PUSH_KEY
    if previous.exists() and previous.read_text() != settings.push.previous_key.get_secret_value():
        return f"set push.previous_key to the key in {previous}, {_OTHERWISE}"
    return ""


def _known_push_key(settings: Settings) -> str:
    """The key in the settings, or the key that `dragoman up` has stored in the data directory."""
    if key := settings.push.key.get_secret_value():
        return key
    file = settings.data / _CREDENTIALS
    try:
        return msgspec.json.decode(file.read_bytes(), type=Credentials).push_key if file.exists() else ""
    except msgspec.MsgspecError as error:
        raise OperatorError(f"{file} is damaged: {error}", DAMAGED) from error


# The commands

_directory = click.argument("directory", metavar="DIR", type=FilePath(file_okay=False))


@click.command(epilog="Example: dragoman backup --data /srv/chat /backups/2026-01-31")
@settings_options
@data_option
@click.option(
    "--metrics",
    type=FilePath(dir_okay=False),
    metavar="FILE",
    help="Write the backup's time to this file, for the textfile collector of Prometheus's node exporter.",
)
@_directory
def backup(
    file: Path | None, assignments: tuple[str, ...], data: Path | None, metrics: Path | None, directory: Path
) -> None:
    """Copy databases, keys and media to a directory.

    DIR is new or empty, and the system may be running. The backup holds secrets: only the backup's owner may read it.
    """
    settings = find_existing(file, assignments, data).settings
    with _reported_errors():
        made = back_up(settings, directory, VERSION)
        if metrics:
            write_metric(made, metrics)
    click.echo(f"backed up to {directory}{'' if made.media else ', except media in the bucket'}")


@click.command(epilog="Example: dragoman restore --data /srv/new-chat /backups/2026-01-31")
@settings_options
@data_option
@click.option(
    "--only", type=click.Choice(["auth", "session", "message"]), help="Restore only this database, beside the others."
)
@_directory
def restore(
    file: Path | None, assignments: tuple[str, ...], data: Path | None, only: str | None, directory: Path
) -> None:
    """Restore a backup into a new installation.

    The installation must be stopped and empty. Nothing is overwritten. --only
    restores one missing database, and prints what is lost.
    """
    settings = find(file, assignments, flags_of(data=data)).settings
    with _reported_errors():
        if only:
            click.echo(restore_only(settings, directory, only))
            check_together(settings)
        else:
            missing = restore_all(settings, directory)
            if missing:
                click.echo(missing)
    click.echo(f"restored from {directory}: upgrade it by `dragoman migrate`, or start `dragoman up`")


@contextmanager
def _reported_errors() -> Iterator[None]:
    """Turns errors of files and databases into error messages for the operator. Raises CommandFailed."""
    try:
        yield
    except OSError as error:
        raise CommandFailed(
            f"{error.filename or 'a file'}: {error.strerror}", "Make room, or let this user read and write it"
        ) from error
    except (sqlite3.Error, SQLAlchemyError) as error:
        raise CommandFailed(
            f"the database: {getattr(error, 'orig', error)}", "Correct database.url, or start it"
        ) from error
