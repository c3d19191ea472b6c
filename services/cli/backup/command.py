"""`dragoman backup` and `dragoman restore`."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from sqlalchemy.exc import SQLAlchemyError

from local.installation import find, find_existing
from local.options import CommandFailed, data_option, flags_of, settings_options
from services.cli.backup import archive
from services.cli.backup.archive import back_up, write_metric
from services.cli.databases import check_together
from shared.version import VERSION

_directory = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))


@click.command(epilog="Example: dragoman backup --data /srv/chat /backups/2026-01-31")
@settings_options
@data_option
@click.option(
    "--metrics",
    type=click.Path(path_type=Path, dir_okay=False),
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
            click.echo(archive.restore_only(settings, directory, only))
            check_together(settings)
        else:
            missing = archive.restore(settings, directory)
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
