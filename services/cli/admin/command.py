"""`dragoman admin`: the operator's commands, and what each of them begins with."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from local.data import read_run
from local.installation import Installation, find
from local.options import data_option, flags_of, settings_options
from services.cli.admin.bus_client import AdminClient, connected_client
from services.cli.console import LazyGroup, configure_plain_logs
from shared.contract.admin import RecordAct
from shared.contract.auth import SetMaintenance
from shared.contract.errors import RequestError

A = TypeVar("A")

account_argument = click.argument("account", metavar="ACCOUNT")
number_argument = click.argument("number", metavar="NUMBER", type=click.IntRange(1, 2**63 - 1))
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group(
    cls=LazyGroup,
    places={
        "audit": "services.cli.admin.trail:audit",
        "bot": "services.cli.admin.bots:bot",
        "chat": "services.cli.admin.chats:chat",
        "dead-letters": "services.cli.admin.dead_letters:dead_letters",
        "delete": "services.cli.admin.users:delete_user",
        "export": "services.cli.admin.export:export_account",
        "hook": "services.cli.admin.hooks:hook",
        "keys": "services.cli.admin.keys:keys",
        "kick": "services.cli.admin.users:kick_user",
        "media": "services.cli.admin.media:media",
        "message": "services.cli.admin.messages:message",
        "notice": "services.cli.admin.notice:notice",
        "record": "services.cli.admin.record:record",
        "report": "services.cli.admin.reports:report",
        "user": "services.cli.admin.users:user",
    },
)
def admin() -> None:
    """Administer a running system.

    The option --data of a command finds a `dragoman up` on this machine; other systems need the settings of the NATS
    user `admin`. The exit status is 1 after a failure, 2 after a wrong use.
    """


def on_installation(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that select an installation, which becomes the command's first argument."""

    @wraps(command)
    def run(file: Path | None, assignments: tuple[str, ...], data: Path | None, **arguments: Any) -> None:
        installation = find(file, assignments, flags_of(data=data))
        configure_plain_logs()
        command(installation, **arguments)

    return settings_options(data_option(run))


def with_client(installation: Installation, work: Callable[[AdminClient], Awaitable[A]]) -> A:
    """Run `work` with a bus connection of its own; returns its result. Raises click.ClickException."""

    async def run() -> A:
        async with connected_client(installation) as client:
            return await work(client)

    return asyncio.run(run())


def record(installation: Installation, act: str, detail: str = "") -> None:
    """Record in the audit trail an act that auth does not carry out itself. Without a running system it only stands on
    this terminal."""

    async def send() -> None:
        async with connected_client(installation) as client:
            await client.request(RecordAct.route, RecordAct(act, detail=detail))

    if "nats.url" not in installation.sources and read_run(installation.settings.data) is None:
        return
    try:
        asyncio.run(send())
    except (click.ClickException, RequestError) as error:
        click.echo(f"this act is not in the audit trail: {error}", file=sys.stderr)


@admin.command()
@on_installation
@click.argument("state", type=click.Choice(["on", "off"]))
def maintenance(installation: Installation, state: str) -> None:
    """Notify all clients that maintenance begins or ends."""
    with_client(installation, lambda client: client.request(SetMaintenance.route, SetMaintenance(state == "on")))
    click.echo(f"maintenance is {state}")
