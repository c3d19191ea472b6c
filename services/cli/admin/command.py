"""`dragoman admin`: its groups of commands, and the options and the connection that the commands share."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from local.data import read_run
from local.installation import Installation, find_existing
from local.options import data_option, settings_options
from services.cli.admin import format
from services.cli.admin.bus_client import AdminClient, connected_client
from services.cli.console import LazyGroup, configure_plain_logs, confirm
from shared.contract.admin import RecordAct, SetMaintenance
from shared.contract.errors import RequestError

A = TypeVar("A")

account_argument = click.argument("account", metavar="ACCOUNT")
number_argument = click.argument("number", metavar="NUMBER", type=click.IntRange(1, 2**63 - 1))
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask for a confirmation.")


@click.group(
    cls=LazyGroup,
    sections={
        "Accounts": {
            "user": "services.cli.admin.users:user",
            "bot": "services.cli.admin.bots:bot",
            "audit": "services.cli.admin.trail:audit",
            "announce": "services.cli.admin.announce:announce",
        },
        "What they have made": {
            "chat": "services.cli.admin.chats:chat",
            "message": "services.cli.admin.messages:message",
            "report": "services.cli.admin.reports:report",
            "media": "services.cli.admin.media:media",
            "webhook": "services.cli.admin.webhooks:webhook",
            "push": "services.cli.admin.push:push",
        },
        "The system": {
            "maintenance": "services.cli.admin.command:maintenance",
            "dead-letters": "services.cli.admin.dead_letters:dead_letters",
            "keys": "services.cli.admin.keys:keys",
            "record": "services.cli.admin.record:record",
        },
    },
)
def admin() -> None:
    """Look after accounts, chats, dead letters and keys.

    The option --data of a command finds a `dragoman up` on this machine; other systems need the settings of the NATS
    user `admin`. A command that ends or discloses something asks first, unless --yes is given.
    """


def on_installation(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that select an installation. The installation becomes the command's first argument."""

    @wraps(command)
    def run(file: Path | None, assignments: tuple[str, ...], data: Path | None, **arguments: Any) -> None:
        installation = find_existing(file, assignments, data)
        configure_plain_logs()
        command(installation, **arguments)

    return settings_options(data_option(run))


def with_client(installation: Installation, work: Callable[[AdminClient], Awaitable[A]]) -> A:
    """Run `work` with a new connection to NATS, and return its result. Raises click.ClickException."""

    async def run() -> A:
        async with connected_client(installation) as client:
            return await work(client)

    return asyncio.run(run())


def on_system(command: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Makes a command that works on a running system. Adds the options that select the system. The first argument of
    the command is a client."""

    @on_installation
    @wraps(command)
    def run(installation: Installation, **arguments: Any) -> None:
        with_client(installation, lambda client: command(client, **arguments))

    return run


def on_confirmed(question: str) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Like `on_system`, but runs the command only after the operator has confirmed the question. The question may
    contain fields for the command's arguments."""

    def decorate(command: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        @on_installation
        @yes_option
        @wraps(command)
        def run(installation: Installation, *, yes: bool, **arguments: Any) -> None:
            confirm(question.format(**arguments), yes=yes)
            with_client(installation, lambda client: command(client, **arguments))

        return run

    return decorate


def prints(text: Callable[[A], str]) -> Callable[[Callable[..., Awaitable[A]]], Callable[..., None]]:
    """Like `on_system`, but also prints the command's result as text or JSON (see `json_option`)."""

    def decorate(command: Callable[..., Awaitable[A]]) -> Callable[..., None]:
        @on_system
        @wraps(command)
        async def run(client: AdminClient, *, as_json: bool, **arguments: Any) -> None:
            format.show(await command(client, **arguments), text, as_json=as_json)

        return run

    return decorate


def record(installation: Installation, act: str, detail: str = "") -> None:
    """Record in the audit trail an act that the auth service does not carry out itself. If the system is not running,
    this only prints a warning."""

    async def send() -> None:
        async with connected_client(installation) as client:
            await client.send(RecordAct(act, detail=detail))

    if "nats.url" not in installation.sources and read_run(installation.settings.data) is None:
        return
    try:
        asyncio.run(send())
    except (click.ClickException, RequestError) as error:
        click.echo(f"this command is missing in the audit trail: {error}", file=sys.stderr)


@click.command(epilog="Example: dragoman admin maintenance on")
@on_system
@click.argument("state", type=click.Choice(["on", "off"]))
async def maintenance(client: AdminClient, state: str) -> None:
    """Notify all clients that maintenance begins or ends."""
    await client.send(SetMaintenance(state == "on"))
    click.echo(f"maintenance is {state}")
