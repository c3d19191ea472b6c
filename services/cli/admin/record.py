"""`dragoman admin record`: records the frames of one account or dialect on all edges, for `dragoman replay`."""

import secrets
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import click

from local.credentials import write_private
from local.installation import Installation
from services.cli import record_file
from services.cli.admin import format, users
from services.cli.admin.bus_client import AdminClient
from services.cli.admin.command import json_option, on_installation, with_client
from services.edge.dialects.registry import DIALECTS
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, NodeId
from shared.contract.records import EdgeRecording, ListRecordings, ReadRecording, StartRecording, StopRecording
from shared.contract.subjects import recording

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
    installation: Installation, account: str | None, dialect: str | None, seconds: int, megabytes: int
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
    names = [entry.name for entry in DIALECTS]
    if name not in names:
        raise click.UsageError(f"there is no dialect {name}: {', '.join(names)}")


async def _start(client: AdminClient, account: str | None, dialect: str, seconds: int, size: int) -> tuple[str, int]:
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


async def _list(client: AdminClient) -> list[EdgeRecording]:
    return await client.request_all(ListRecordings.route, ListRecordings())


@record.command("list")
@on_installation
@json_option
def record_list(installation: Installation, as_json: bool) -> None:
    """List recordings: those that run, and those that have ended within the last hour."""
    found = [one for one in with_client(installation, _list) if one.recording is not None]
    format.show(found, _text, as_json=as_json)


@record.command("stop")
@on_installation
@click.argument("id")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="The file (default: ID.record).")
def record_stop(installation: Installation, id: str, output: Path | None) -> None:
    """End a recording and write its record; the edges forget it then."""
    path = output or Path(f"{id}.record")

    async def work(client: AdminClient) -> int:
        content, events = await fetch(client, id)
        try:
            write_private(path, content)
        except OSError as error:
            raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error
        await drop(client, id)
        return events

    events = with_client(installation, work)
    click.echo(f"{events} events written to {path}: `dragoman replay {path}` plays them")


async def fetch(client: AdminClient, id: str) -> tuple[bytes, int]:
    """Ends the recording; returns the file, and its events. Raises RequestError."""
    ended = await client.request_all(StopRecording.route, StopRecording(id))
    states = {one.node: one.recording for one in ended if one.recording is not None}
    if not states:
        raise RequestError(ErrorCode.NOT_FOUND, f"no edge has a recording {id}: see `dragoman admin record list`", "id")
    account = next(iter(states.values())).account
    await client.record("read record", account, id)
    lines = {node: await _lines(client, node, id) for node in states}
    header = record_file.RecordHeader(
        version=record_file.VERSION,
        dragoman=version("dragoman"),
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


def _text(found: Sequence[EdgeRecording]) -> str:
    heads = ["ID", "EDGE", "ACCOUNT", "DIALECT", "STARTED", "STATE", "EVENTS", "BYTES"]
    rows = [
        (
            one.id, node, f"{one.account:010d}" if one.account else "-", one.dialect or "-", format.moment(one.started),
            f"ended: {one.ended}" if one.ended else f"until {format.moment(one.until)}", one.events, one.bytes,
        )
        for node, one in ((edge.node, edge.recording) for edge in found)
        if one is not None
    ]  # fmt: skip
    return format.table(heads, rows) if rows else "there are no recordings"
