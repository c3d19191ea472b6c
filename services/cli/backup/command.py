"""`dragoman backup` and `dragoman restore`."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import click
from sqlalchemy.exc import SQLAlchemyError

from local.installation import find
from local.options import data_option, flags_of, settings_options
from services.cli.backup import archive
from services.cli.backup.archive import back_up, write_metric
from services.cli.backup.postgresql import ToolFailed
from services.cli.databases import check_together
from shared.installation import DatabasesApart

_directory = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))


@click.command()
@settings_options
@data_option
@click.option(
    "--metrics",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the time there, for the textfile collector of Prometheus's node exporter.",
)
@_directory
def backup(
    file: Path | None, assignments: tuple[str, ...], data: Path | None, metrics: Path | None, directory: Path
) -> None:
    """Copy databases, keys and media to DIR, which is new or empty. The system may be running.

    DIR holds secrets; only its owner may read it.
    """
    settings = find(file, assignments, flags_of(data=data)).settings
    with _reported_errors():
        made = back_up(settings, directory, version("dragoman"))
        if metrics:
            write_metric(made, metrics)
    click.echo(f"backed up to {directory}{'' if made.media else ', except media in the bucket'}")


@click.command()
@settings_options
@data_option
@click.option(
    "--only", type=click.Choice(["auth", "session", "message"]), help="Restore one database, beside the others."
)
@_directory
def restore(
    file: Path | None, assignments: tuple[str, ...], data: Path | None, only: str | None, directory: Path
) -> None:
    """Restore a backup from DIR into an installation that is stopped and empty.

    Nothing is overwritten. With --only, one database that is missing is restored, and what is lost is said.
    """
    settings = find(file, assignments, flags_of(data=data)).settings
    with _reported_errors():
        if only:
            click.echo(archive.restore_only(settings, directory, only))
            check_together(settings)
        else:
            archive.restore(settings, directory)
    click.echo(f"restored from {directory}: upgrade it by `dragoman migrate`, or start `dragoman up`")


@contextmanager
def _reported_errors() -> Iterator[None]:
    """Reports errors of files and databases. Raises click.ClickException."""
    try:
        yield
    except DatabasesApart as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename or 'a file'}: {error.strerror}") from error
    except (sqlite3.Error, ToolFailed) as error:
        raise click.ClickException(str(error)) from error
    except SQLAlchemyError as error:
        raise click.ClickException(f"the database: {getattr(error, 'orig', error)}") from error
