"""Records the frames of one account or dialect on all edges, for `dragoman replay`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from services.cli.admin.command import on_installation, with_client

if TYPE_CHECKING:
    from local.installation import Installation
    from services.cli.admin.bus_client import AdminClient
    from shared.contract.records import EdgeRecording

_MEGABYTE = 1024 * 1024


@click.group()
def record() -> None:
    """Record frames of clients, with their secrets masked, for `dragoman replay`."""


@record.command("start")
@on_installation
@click.option("--account", help="Record this account: an OC number, a uuid, a username or an e-mail address.")
@click.option("--dialect", help="Record all connections of this dialect.")
@click.option("--seconds", default=600, show_default=True, type=click.IntRange(1, 86_400), help="For so long at most.")
@click.option("--megabytes", default=4, show_default=True, type=click.IntRange(1, 64), help="So much of each edge.")
def record_start(
    installation: "Installation", account: str | None, dialect: str | None, seconds: int, megabytes: int
) -> None:
    """Start a recording on every edge. It holds the messages of users: say so to them, and delete it after use."""
    if (account is None) is (dialect is None):
        raise click.UsageError("either --account or --dialect is needed")
    if dialect is not None:
        _check_dialect(dialect)
    id, edges = with_client(
        installation, lambda client: _start(client, account, dialect or "", seconds, megabytes * _MEGABYTE)
    )
    click.echo(f"{id} records on {edges} edges for {seconds} s: `dragoman admin record stop {id}` writes the record")


def _check_dialect(name: str) -> None:
    from services.edge.dialects.registry import DIALECTS

    names = [entry.name for entry in DIALECTS]
    if name not in names:
        raise click.UsageError(f"there is no dialect {name}: {', '.join(names)}")


async def _start(client: "AdminClient", account: str | None, dialect: str, seconds: int, size: int) -> tuple[str, int]:
    import secrets

    from services.cli.admin import users
    from shared.contract.ids import NO_ACCOUNT
    from shared.contract.records import StartRecording

    for running in await _list(client):
        if running.recording is not None and not running.recording.ended:
            raise click.ClickException(
                f"{running.node} is recording {running.recording.id}: stop it first (`dragoman admin record stop"
                f" {running.recording.id}`)"
            )
    number = NO_ACCOUNT if account is None else (await users.find(client, account)).account
    id = secrets.token_hex(4)
    await client.record("record frames", number, f"{id} {dialect or 'account'} {seconds} s {size} bytes")
    request = StartRecording(id=id, account=number, dialect=dialect, seconds=seconds, bytes=size)
    started = await client.request_all(StartRecording.route, request)
    if not started:
        raise click.ClickException("no edge answers: is the system running?")
    return id, len(started)


async def _list(client: "AdminClient") -> "list[EdgeRecording]":
    from shared.contract.records import ListRecordings

    return await client.request_all(ListRecordings.route, ListRecordings())


@record.command("list")
@on_installation
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def record_list(installation: "Installation", as_json: bool) -> None:
    """List recordings: those that run, and those that have ended within the last hour."""
    from services.cli.admin import format

    found = [one for one in with_client(installation, _list) if one.recording is not None]
    click.echo(format.as_json(found) if as_json else format.recordings(found))


@record.command("stop")
@on_installation
@click.argument("id")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="The file (default: ID.record).")
def record_stop(installation: "Installation", id: str, output: Path | None) -> None:
    """End a recording and write its record; the edges forget it then."""
    from local.credentials import write_private
    from services.cli.admin import record_transfer

    path = output or Path(f"{id}.record")

    async def work(client: "AdminClient") -> int:
        content, events = await record_transfer.fetch(client, id)
        try:
            write_private(path, content)
        except OSError as error:
            raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error
        await record_transfer.drop(client, id)
        return events

    events = with_client(installation, work)
    click.echo(f"{events} events written to {path}: `dragoman replay {path}` plays them")
