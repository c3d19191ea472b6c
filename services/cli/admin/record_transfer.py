"""Brings a recording from the edges into the bytes of one file."""

from importlib.metadata import version

from services.cli import record_file
from services.cli.admin.bus_client import AdminClient
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NodeId
from shared.contract.records import ReadRecording, StopRecording
from shared.contract.subjects import recording


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
