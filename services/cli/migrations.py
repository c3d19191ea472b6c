"""Migrates databases and event streams, of a `dragoman up` or of an installation given by settings."""

import asyncio
from collections.abc import Sequence

import click
from sqlalchemy.exc import SQLAlchemyError

from services.auth.store.usernames import key_all
from services.cli.embedded.nats import SETUP
from services.cli.installation import Installation
from services.cli.streams import NotReachable, provision
from shared.errors import StartupError
from shared.migrate import upgrade
from shared.settings import Settings


def migrate_service(service: str, settings: Settings) -> list[str]:
    """Upgrade a service's database. Returns a report: auth's accounts whose usernames look alike. Raises
    sqlalchemy.exc.SQLAlchemyError, StartupError."""
    upgrade(service, settings.database_url(service))
    return key_all(settings.database_url(service)) if service == "auth" else []


def migrate_all(installation: Installation, what: Sequence[str]) -> None:
    """Raises click.ClickException."""
    for service in [one for one in what if one != "streams"]:
        try:
            report = migrate_service(service, installation.settings)
        except SQLAlchemyError as error:
            raise click.ClickException(f"the database of {service}: {getattr(error, 'orig', error)}") from error
        except StartupError as error:
            raise click.ClickException(str(error)) from error
        click.echo(f"{service}: up to date")
        for line in report:
            click.echo(f"  {line}")
    if "streams" in what:
        try:
            asyncio.run(provision(installation.broker(SETUP)))
        except NotReachable as error:
            raise click.ClickException(str(error)) from error
        click.echo("streams: up to date")
