"""A recording from a real edge is replayed."""

import json
from pathlib import Path

from websockets.asyncio.client import connect

from local.atomic_file import write_private
from services.cli.admin import record
from services.cli.record_file import Record, read
from services.cli.replay import Player
from shared.contract.records import StartRecording
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.recording.test_recorder import operator, wanted
from tests.unit.services.edge.test_another_dialect import WebSocketClient

LOGIN = {"code": 6, "login_type": 1, "account": "0000000001", "password": "right"}


async def recorded(cluster: EdgeCluster, path: Path) -> Record:
    gateway = await cluster.open_gateway()
    admin = await operator(cluster)
    await admin.request_all(StartRecording.route, wanted(account=1))
    async with connect(f"ws://127.0.0.1:{gateway.port}/ws/ourchat-v2", proxy=None) as socket:
        client = WebSocketClient(socket)
        for frame in ({"code": 12}, LOGIN, {"code": 12}, {"code": 999}):
            await client.send(json.dumps(frame))
            await client.receive()
    content, _ = await record.fetch(admin, "r1")
    await record.drop(admin, "r1")
    write_private(path, content)
    return read(path)


async def test_a_record_of_an_edge_is_decoded_and_answered_as_there(cluster: EdgeCluster, tmp_path: Path) -> None:
    record = await recorded(cluster, tmp_path / "a.record")
    assert record.dialects == ["ourchat-v2"]

    player = Player()
    lines = list(player.play(record))
    assert player.differences == 0, lines
    assert any("means Login(" in line for line in lines)
    assert any("is logged in as 1" in line for line in lines)
    assert any("cannot be decoded" in line for line in lines)
