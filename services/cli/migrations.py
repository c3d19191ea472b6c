"""Migrates databases and event streams, of a `dragoman up` or of an installation given by settings."""

import asyncio
from collections.abc import Sequence

import click
from sqlalchemy.exc import SQLAlchemyError

from services.auth.store.usernames import key_all
from services.cli.embedded.nats import SETUP
from services.cli.installation import Installation
from services.cli.streams import NotReachable, provision
from services.message.store.placing import place
from shared.errors import StartupError
from shared.migrate import upgrade
from shared.placement import parse_ranges
from shared.settings import Settings


def migrate_service(service: str, settings: Settings) -> list[str]:
    """Upgrade a service's database; of several of message, each, and give new ones their partitions. Returns a report:
    what each of several serves; auth's accounts whose usernames look alike. Raises sqlalchemy.exc.SQLAlchemyError,
    NotPlaced."""
    if service == "auth":
        upgrade(service, settings.database_url(service))
        return key_all(settings.database_url(service))
    if service != "message" or not settings.message.databases:
        upgrade(service, settings.database_url(service))
        return []
    urls = settings.message_database_urls()
    for url in urls.values():
        upgrade(service, url)
    ranges = {name: parse_ranges(one.partitions) for name, one in settings.message.databases.items()}
    return place(urls, ranges, settings.message.partitions)


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
