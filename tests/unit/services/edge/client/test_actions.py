"""Tests four things: replies that a dialect gives by itself, frames with several requests, disconnects, and requests
that an event causes.
"""

import json

from services.edge.app import Edge
from services.edge.canonical.events import ChatJoined
from shared.contract.ids import ChatId
from tests.unit.services.edge.client.test_named_messages import connect
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient


async def test_a_local_reply_needs_no_login_and_no_service(edge: Edge) -> None:
    device = EdgeClient(edge.endpoint)
    ping = device.send(do="ping")
    assert device.replies == {}, "replies are written in the batch of an iteration"
    assert await device.reply_to(ping) == "pong"


async def test_requests_of_one_frame_are_answered_in_order(cluster: EdgeCluster) -> None:
    (device,) = await cluster.chat(1, 2, online=[1])
    post = {"do": "post", "chat": 7, "text": "a", "ref": 103}
    rest = [{"do": "watch"}, {"do": "account", "account": 1, "ref": 104}]
    device.send(do="several", frames=[{"do": "chat", "chat": 7, "ref": 101}, {"do": "ping", "ref": 102}, post, *rest])
    await device.reply_to(104)
    assert device.replied_refs[-4:] == [101, 102, 103, 104]


async def test_disconnect_answers_what_came_before_and_drops_the_rest(cluster: EdgeCluster) -> None:
    (device,) = await cluster.chat(1, 2, online=[1])
    posted = device.send(do="post", chat=7, text="last words")
    quits = device.send(do="quit")
    dropped = device.send(do="post", chat=7, text="too late")
    await device.socket.until(lambda: device.socket.ended)
    assert device.replies[posted] == [7, 1]
    assert device.replied_refs[-1] == quits
    assert dropped not in device.replies
    assert device.socket.closed_with == (1000, "bye")
    assert len(cluster.backend.chats[ChatId(7)].messages) == 1
    assert not cluster.edges[0].endpoint.clients


async def test_a_dialect_requests_what_it_lacks_of_an_event(cluster: EdgeCluster) -> None:
    (device,) = await cluster.chat(1, 2, online=[1])
    device.send(do="watch")
    await device.request(do="ping")
    device.client.notify(ChatJoined(ChatId(7)))
    await device.socket.until(lambda: any(seen.get("re") == "watched" for seen in device.seen))
    assert device.seen[-2:] == [{"event": "ChatJoined", "value": 7}, {"re": "watched", "ok": 7}]


async def test_bad_frames_are_counted_up_to_the_one_that_ends_the_connection(cluster: EdgeCluster) -> None:
    edge = await cluster.add_edge(limits={})
    socket = (await connect(cluster)).socket
    for _ in range(60):
        socket.client.frame_received(b"hello")
    await socket.until(lambda: socket.ended)
    assert socket.closed_with == (4008, '{"code":"invalid","retry_ms":60000}')
    *errors, bye = (frame for frame in map(json.loads, socket.received) if frame.get("re", 1) is None or "ev" in frame)
    assert bye == {"ev": "bye", "code": "invalid", "text": "too many bad frames", "retry_ms": 60_000}
    assert 51 <= len(errors) < 60
    assert edge.context.metrics.rejected.labels("native", "invalid")._value.get() == len(errors)
