"""`dragoman migrate` upgrades the databases and event streams of a `dragoman up`, or of an installation that the
settings name."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from sqlalchemy.exc import SQLAlchemyError

from local.installation import Installation, find_existing
from local.nats import SETUP
from local.options import CommandFailed, data_option, settings_options
from local.up_plan import SERVICES
from services.auth.store.usernames import key_all
from services.cli.console import configure_plain_logs
from services.cli.databases import accept_loss, check_together, make_together
from services.cli.streams import provision
from shared.migrate import upgrade
from shared.settings import Settings


@click.command(epilog="Example: dragoman migrate --config migrate.toml")
@settings_options
@data_option
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Continue with databases from different backups. Lost data stays lost, and no lost number is used again.",
)
@click.argument("what", nargs=-1, type=click.Choice(["auth", "session", "message", "streams"]))
def migrate(
    file: Path | None, assignments: tuple[str, ...], data: Path | None, accept_loss: bool, what: tuple[str, ...]
) -> None:
    """Upgrade databases and streams to this version.

    Without names, the command upgrades the databases of all these services. Safe to repeat. A new or older database
    beside others in use is an error: it was lost, or replaced.
    """
    configure_plain_logs()
    everything = ("auth", "session", "message", "streams")
    migrate_all(find_existing(file, assignments, data), what or everything, accept=accept_loss)


def migrate_service(service: str, settings: Settings) -> list[str]:
    """Upgrade a service's database. Returns a report that lists auth's accounts whose usernames look alike. Raises
    sqlalchemy.exc.SQLAlchemyError, StartupError."""
    upgrade(service, settings.database_url(service))
    return key_all(settings.database_url(service)) if service == "auth" else []


def migrate_all(installation: Installation, what: Sequence[str], *, accept: bool = False) -> None:
    """Upgrades databases and streams. `accept`: databases with different identities get a common identity. Raises
    click.ClickException, StartupError."""
    settings, services = installation.settings, [one for one in what if one != "streams"]
    is_whole = set(services) == set(SERVICES)
    if accept and not is_whole:
        raise click.UsageError("--accept-loss is for all databases together")
    if services and not accept:
        check_together(settings)
    for service in services:
        with _reported(f"the database of {service}"):
            report = migrate_service(service, settings)
        click.echo(f"{service}: up to date")
        for line in report:
            click.echo(f"  {line}")
    if is_whole:
        with _reported():
            if accept:
                click.echo(accept_loss(settings))
            else:
                make_together(settings)
    if "streams" in what:
        asyncio.run(provision(installation.broker(SETUP)))
        click.echo("streams: up to date")


@contextmanager
def _reported(what: str = "the databases") -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise CommandFailed(f"{what}: {getattr(error, 'orig', error)}", "Correct database.url, or start it") from error
