"""Migrates databases and event streams, of a `dragoman up` or of an installation given by settings."""

import asyncio
import sys
from collections.abc import Sequence

import click
from sqlalchemy.exc import SQLAlchemyError

from services.cli.embedded.nats import SETUP
from services.cli.installation import Installation
from services.cli.streams import NotReachable, provision
from shared.migrate import upgrade
from shared.settings import LogSettings
from shared.telemetry import configure_logging


def configure_plain_logs() -> None:
    """Log only warnings, as plain text on stderr: a command prints its result on stdout."""
    configure_logging(LogSettings(level="warning", json_lines=False), "dragoman", sys.stderr)


def migrate_all(installation: Installation, what: Sequence[str]) -> None:
    """Raises click.ClickException."""
    for service in [one for one in what if one != "streams"]:
        try:
            upgrade(service, installation.settings.database_url(service))
        except SQLAlchemyError as error:
            raise click.ClickException(f"the database of {service}: {getattr(error, 'orig', error)}") from error
        click.echo(f"{service}: up to date")
    if "streams" in what:
        try:
            asyncio.run(provision(installation.broker(SETUP)))
        except NotReachable as error:
            raise click.ClickException(str(error)) from error
        click.echo("streams: up to date")
