"""A message has a picture or file that does not exist. The error names the wrong member, as native calls it."""

import pytest

from tests.unit.services.edge.client.test_named_messages import ROOM, connect
from tests.unit.services.edge.conftest import EdgeCluster

UNKNOWN = {
    "code": "invalid", "text": "no picture or file has this id", "field": "segments[1].media", "reason": "choice",
}  # fmt: skip


@pytest.mark.parametrize("command", [{"op": "send"}, {"op": "edit", "index": 1}])
async def test_the_error_names_the_segment(cluster: EdgeCluster, command: dict[str, object]) -> None:
    await cluster.add_edge()
    cluster.backend.add_chat(ROOM, 1, 2)
    client = await connect(cluster)
    segments = [{"t": "text", "text": "look"}, {"t": "image", "media": "0" * 32}]
    reply = await client.reply(client.send(chat=ROOM, segments=segments, nonce="n", **command))
    assert reply["error"].pop("request")
    assert reply["error"] == UNKNOWN
