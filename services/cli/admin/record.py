"""`dragoman admin record` records the frames of one account or dialect on all edges, for `dragoman replay`."""

import secrets
from collections.abc import Sequence
from pathlib import Path

import click

from local.atomic_file import write_output
from local.options import CommandFailed, FilePath
from services.cli import record_file
from services.cli.admin import format, users
from services.cli.admin.bus_client import DOCTOR, AdminClient
from services.cli.admin.command import json_option, on_system, prints
from services.cli.console import default_option
from services.edge.dialects.registry import DIALECTS
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, NodeId
from shared.contract.records import EdgeRecording, ListRecordings, ReadRecording, StartRecording, StopRecording
from shared.contract.subjects import recording
from shared.version import VERSION

_MEGABYTE = 1024 * 1024


def _text(found: Sequence[EdgeRecording]) -> str:
    heads = ["ID", "EDGE", "ACCOUNT", "DIALECT", "STARTED", "STATE", "EVENTS", "BYTES"]
    rows = [
        (
            one.id, node, format.account(one.account), one.dialect, format.moment(one.started),
            f"ended: {one.ended}" if one.ended else f"until {format.moment(one.until)}", one.events, one.bytes,
        )
        for node, one in ((edge.node, edge.recording) for edge in found)
        if one is not None
    ]  # fmt: skip
    return format.table(heads, rows, "there are no recordings")


@click.group()
def record() -> None:
    """Record the frames of clients: start, list, stop.

    `dragoman replay` plays them. Their secrets are masked.
    """


@record.command("start", epilog="Example: dragoman admin record start --account ann@example.org")
@on_system
@click.option("--account", help="Record this account: an OC number, a uuid, a username or an e-mail address.")
@click.option("--dialect", help="Record all connections of this dialect.")
@default_option("--seconds", 600, "End after this time.", click.IntRange(1, 86_400))
@default_option("--megabytes", 4, "End the record of an edge when it has this size.", click.IntRange(1, 64))
async def record_start(
    client: AdminClient, account: str | None, dialect: str | None, seconds: int, megabytes: int
) -> None:
    """Start a recording on every edge.

    A recording holds the messages of users: say so to the users, and delete the recording after use.
    """
    if (account is None) is (dialect is None):
        raise click.UsageError("either --account or --dialect is needed")
    if dialect is not None:
        _check_dialect(dialect)
    id, edges = await _start(client, account, dialect or "", seconds, megabytes * _MEGABYTE)
    click.echo(f"{id} records on {edges} edges for {seconds} s: `dragoman admin record stop {id}` writes the record")


def _check_dialect(name: str) -> None:
    names = [entry.name for entry in DIALECTS]
    if name not in names:
        raise click.UsageError(f"there is no dialect {name}: {', '.join(names)}")


async def _start(client: AdminClient, account: str | None, dialect: str, seconds: int, size: int) -> tuple[str, int]:
    for running in await _list(client):
        if running.recording is not None and not running.recording.ended:
            raise CommandFailed(
                f"{running.node} is recording {running.recording.id}",
                f"Stop it first: `dragoman admin record stop {running.recording.id}`",
            )
    number = NO_ACCOUNT if account is None else (await users.find(client, account)).account
    id = secrets.token_hex(4)
    await client.record("record frames", number, f"{id} {dialect or 'account'} {seconds} s {size} bytes")
    request = StartRecording(id=id, account=number, dialect=dialect, seconds=seconds, bytes=size)
    started = await client.request_all(StartRecording.route, request)
    if not started:
        raise CommandFailed("no edge answers", DOCTOR)
    return id, len(started)


async def _list(client: AdminClient) -> list[EdgeRecording]:
    return await client.request_all(ListRecordings.route, ListRecordings())


@record.command("list")
@prints(_text)
@json_option
async def record_list(client: AdminClient) -> list[EdgeRecording]:
    """List recordings that run, or have ended within an hour."""
    return [one for one in await _list(client) if one.recording is not None]


@record.command("stop", epilog="Example: dragoman admin record stop 5f3a91c2 --output ann.record")
@on_system
@click.argument("id")
@click.option("--output", "-o", type=FilePath(dir_okay=False), help="The file (default: ID.record).")
async def record_stop(client: AdminClient, id: str, output: Path | None) -> None:
    """End a recording and write its record. The edges then forget it."""
    path = output or Path(f"{id}.record")
    content, events = await fetch(client, id)
    write_output(path, content)
    await drop(client, id)
    click.echo(f"{events} events written to {path}: `dragoman replay {path}` plays them")


async def fetch(client: AdminClient, id: str) -> tuple[bytes, int]:
    """Ends the recording. Returns the content of the file and the number of recorded events. Raises RequestError."""
    ended = await client.request_all(StopRecording.route, StopRecording(id))
    states = {one.node: one.recording for one in ended if one.recording is not None}
    if not states:
        raise RequestError(ErrorCode.NOT_FOUND, f"no edge has a recording {id}: see `dragoman admin record list`", "id")
    account = next(iter(states.values())).account
    await client.record("read record", account, id)
    lines = {node: await _lines(client, node, id) for node in states}
    header = record_file.RecordHeader(
        version=record_file.VERSION,
        dragoman=VERSION,
        id=id,
        account=account,
        dialect=next(iter(states.values())).dialect,
        edges={node: state.ended for node, state in states.items()},
    )
    return record_file.encode(header, lines), sum(map(len, lines.values()))


async def _lines(client: AdminClient, node: NodeId, id: str) -> list[str]:
    lines: list[str] = []
    more = True
    while more:
        page = await client.request(recording(node), ReadRecording(id, len(lines)))
        lines += page.lines
        more = page.more
    return lines


async def drop(client: AdminClient, id: str) -> None:
    await client.request_all(StopRecording.route, StopRecording(id, drop=True))
