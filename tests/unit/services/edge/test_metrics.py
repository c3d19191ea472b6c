"""The edge's metrics, as they are scraped."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest

from services.edge.metrics import EdgeMetrics
from shared.telemetry import PlainHistogram
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.conftest import EdgeCluster


def test_frames_and_messages_are_counted() -> None:
    registry = CollectorRegistry()
    metrics = EdgeMetrics(registry)
    assert metrics.traffic("lines") is metrics.traffic("lines")
    metrics.traffic("lines").frames_in += 3
    metrics.traffic("lines").frames_out += 2
    metrics.traffic("pipe").frames_in += 1
    metrics.delivered += 5
    metrics.encoded += 4
    scraped = generate_latest(registry).decode()
    assert 'dragoman_edge_frames_in_total{dialect="lines"} 3.0' in scraped
    assert 'dragoman_edge_frames_out_total{dialect="lines"} 2.0' in scraped
    assert 'dragoman_edge_frames_in_total{dialect="pipe"} 1.0' in scraped
    assert "dragoman_edge_deliveries_total 5.0" in scraped
    assert "dragoman_edge_encodings_total 4.0" in scraped


def test_a_plain_histogram_is_scraped_like_a_histogram() -> None:
    registry, plain_registry = CollectorRegistry(), CollectorRegistry()
    plain = [
        PlainHistogram("took_seconds", "Took", (0.001, 1.0), plain_registry),
        PlainHistogram("call_seconds", "Called", (0.5,), plain_registry, ("call",)),
    ]
    took = Histogram("took_seconds", "Took", buckets=(0.001, 1.0), registry=registry)
    calls = Histogram("call_seconds", "Called", ["call"], buckets=(0.5,), registry=registry)
    for value, times in ((0.0, 2), (0.001, 1), (0.3, 4), (1000.0, 1)):
        plain[0].observe(value, times)
        plain[1].observe(value, times, of=("join",))
        for _ in range(times):
            took.observe(value)
            calls.labels("join").observe(value)
    assert scraped(plain_registry) == scraped(registry)


def scraped(registry: CollectorRegistry) -> list[str]:
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def count(histogram: PlainHistogram) -> float:
    (family,) = histogram.collect()
    (total,) = (sample.value for sample in family.samples if sample.name.endswith("_count"))
    return total


async def test_an_edge_counts_frames_and_messages(cluster: EdgeCluster) -> None:
    edge = await cluster.add_edge()
    cluster.backend.add_chat(7, 1, 2)
    alice, bob = await cluster.client(1), await cluster.client(2)
    await alice.post(7, "hello")
    await bob.until_texts(7, "hello")
    metrics = edge.context.metrics
    assert metrics.traffic("lines").frames_in == 3
    assert metrics.traffic("lines").frames_out == len(alice.socket.received) + len(bob.socket.received)
    assert count(metrics.post_seconds) == 1
    assert (metrics.delivered, metrics.encoded) == (2, 1)
    assert count(metrics.delivery_seconds) == 2
    async with asyncio.timeout(WAIT_SECONDS):
        while metrics.accounts._value.get() != 2:
            await asyncio.sleep(0.05)
    assert metrics.connections.labels("lines")._value.get() == 2
    assert metrics.chats._value.get() == 1


async def test_connections_that_are_ticked_in_parts_are_all_counted(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.client.endpoint._PART_CONNECTIONS", 2)
    edge = await cluster.add_edge()
    for account in range(1, 6):
        await cluster.client(account)
    async with asyncio.timeout(WAIT_SECONDS):
        while edge.context.metrics.connections.labels("lines")._value.get() != 5:
            await asyncio.sleep(0.05)
    assert edge.context.metrics.undecided._value.get() == 0
