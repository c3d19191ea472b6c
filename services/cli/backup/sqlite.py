"""Backs up SQLite databases by SQLite's backup API. It makes a consistent snapshot of each database, even while
services write."""

import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import sqlalchemy as sa

from local.options import CommandFailed, OperatorError


def back_up(urls: Mapping[str, str], directory: Path) -> None:
    """Back up the databases `urls`, which are copied in this order. Raises OperatorError, sqlite3.Error."""
    for name, url in urls.items():
        source = _file(url)
        if not source.is_file():
            raise OperatorError(
                f"the database {source} does not exist", "Name the installation by --data or --config (database.url)"
            )
        _copy(source, directory / f"{name}.db")


def restore(urls: Mapping[str, str], directory: Path, undo: ExitStack) -> None:
    """Restore the databases. `undo` gets callbacks that remove the restored files. Raises OperatorError, sqlite3.Error,
    OSError."""
    targets = {name: _file(url) for name, url in urls.items()}
    for target in targets.values():
        for file in (target, target.with_name(f"{target.name}-wal")):
            if file.exists():
                raise OperatorError(f"{file} exists, and nothing is overwritten", "Restore into a new installation")
    drafts = {name: target.with_name(f".{target.name}.new") for name, target in targets.items()}
    undo.callback(_remove, [*drafts.values(), *targets.values()])
    for name, draft in drafts.items():
        draft.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _copy(directory / f"{name}.db", draft)
    for name, draft in drafts.items():
        draft.replace(targets[name])


def _remove(databases: Iterable[Path]) -> None:
    for database in databases:
        for end in ("", "-wal", "-shm", "-journal"):
            database.with_name(f"{database.name}{end}").unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    """Copy a database, check the copy's integrity, and flush it to disk. Raises sqlite3.DatabaseError."""
    target.unlink(missing_ok=True)
    if not source.is_file():
        raise OperatorError(f"{source} is missing, so the backup is incomplete", "Restore another backup")
    try:
        _copy_checked(source, target)
    except sqlite3.Error as error:
        raise CommandFailed(
            f"{source} cannot be copied: {error}", "Make room if the disk is full, or restore a backup if it is damaged"
        ) from error
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_checked(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as original:
        with closing(sqlite3.connect(target)) as copy:
            original.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE").fetchall()
            if (found := copy.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(found)


def _file(url: str) -> Path:
    return Path(sa.make_url(url).database or "")
