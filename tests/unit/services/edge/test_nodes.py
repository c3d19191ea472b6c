"""Edges have permission only for the subjects of their own nodes. They can do all their work with it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from local.process_group import ProcessGroup
from shared.bus.client import Bus
from shared.contract import subjects as on
from shared.contract.edge import FlushReadState
from shared.contract.ids import AccountId
from shared.contract.records import ListRecordings
from tests.support.nodes_nats import NodesNatsServer
from tests.unit.services.edge.conftest import EdgeCluster

CHAT = 7


@pytest.fixture(scope="module")
def _nodes_server(server_directory: Path, process_group: ProcessGroup) -> Iterator[NodesNatsServer]:
    server = NodesNatsServer(server_directory / "edges-nodes-nats", process_group)
    yield server
    server.stop()


@pytest.fixture
async def bus_server(_nodes_server: NodesNatsServer) -> AsyncIterator[NodesNatsServer]:
    """A nats-server whose edges log in as nodes. A replica of auth that decides on nodes is running."""
    await _nodes_server.make_fresh()
    auth = _nodes_server.auth()
    await auth.start()
    yield _nodes_server
    await auth.stop()


async def test_edges_deliver_flush_and_answer_operators_without_a_denial(cluster: EdgeCluster) -> None:
    one, other = await cluster.add_edge(name="one"), await cluster.add_edge(name="other")
    cluster.backend.add_chat(CHAT, 1, 2)
    ann, bob = await cluster.client(1, one), await cluster.client(2, other)
    await asyncio.gather(ann.until_synced(), bob.until_synced())
    await cluster.message.send_texts(CHAT, 1, "hello")
    await bob.until_texts(CHAT, "hello")
    flushed = await one.bus.request(on.flush(other.id), FlushReadState(AccountId(2)))
    assert flushed.node == other.id
    admin = Bus(cluster.nats.settings("admin"), "admin", CollectorRegistry())
    await cluster.run(admin)
    assert len(await admin.request_all(ListRecordings.route, ListRecordings())) == 2
    denied = {"kind": "permission"}
    assert [one.get_sample_value("dragoman_bus_errors_total", denied) for one in cluster.registries] == [0.0, 0.0]
