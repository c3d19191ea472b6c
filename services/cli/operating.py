"""What an operator does to a running system, beside a `dragoman up` or with settings of its own."""

import asyncio
from collections.abc import Mapping, Sequence

import click
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError

from services.cli.data import read_run
from services.cli.embedded.credentials import load_or_make
from services.cli.embedded.nats import SETUP
from services.cli.provision import NotReachable, provision
from shared.bus import Bus
from shared.contract.auth import SetMaintenance
from shared.contract.errors import Refused
from shared.contract.subjects import SET_MAINTENANCE
from shared.migrate import upgrade
from shared.settings import Log, Nats, Settings
from shared.telemetry import configure_logging

_CONNECT_SECONDS = 5.0


def speak_plainly() -> None:
    """A command tells its result; of the log only what went wrong."""
    configure_logging(Log(level="warning", json_lines=False), "dragoman")


async def set_maintenance(settings: Settings, sources: Mapping[str, str], on: bool) -> None:
    """Raises click.ClickException."""
    bus = Bus(_broker(settings, sources, "admin"), "admin", CollectorRegistry())
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await bus.start()
        await bus.ask(SET_MAINTENANCE, SetMaintenance(on), seconds=_CONNECT_SECONDS, retry=True)
    except TimeoutError as error:
        raise click.ClickException("the broker does not answer: is the system running?") from error
    except Refused as refusal:
        raise click.ClickException(refusal.failure.text) from refusal
    finally:
        await bus.stop()
    click.echo(f"maintenance is {'on' if on else 'off'}")


def migrate_all(settings: Settings, sources: Mapping[str, str], what: Sequence[str]) -> None:
    """Raises click.ClickException."""
    for service in [one for one in what if one != "streams"]:
        try:
            upgrade(service, settings.database_url(service))
        except SQLAlchemyError as error:
            raise click.ClickException(f"the database of {service}: {getattr(error, 'orig', error)}") from error
        click.echo(f"{service}: up to date")
    if "streams" in what:
        try:
            asyncio.run(provision(_broker(settings, sources, SETUP)))
        except NotReachable as error:
            raise click.ClickException(str(error)) from error
        click.echo("streams: up to date")


def _broker(settings: Settings, sources: Mapping[str, str], user: str) -> Nats:
    """The broker of the settings; when they name none, that of the `dragoman up` in the data directory."""
    run = read_run(settings.data) if "nats.url" not in sources else None
    if run is None:
        return settings.nats
    broker = settings.nats.model_copy(update={"url": run.nats})
    if not run.embedded_nats:
        return broker
    password = load_or_make(settings.data / "credentials.json").nats[user]
    return broker.model_copy(update={"user": user, "password": SecretStr(password)})
