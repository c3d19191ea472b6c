"""The edge's metrics, as they are scraped."""

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest

from shared.plain_histogram import PlainHistogram
from tests.support.waiting import until
from tests.unit.services.edge.conftest import EdgeCluster


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


async def test_an_edge_counts_frames_and_messages(cluster: EdgeCluster) -> None:
    alice, bob = await cluster.chat(1, 2)
    await alice.post(7, "hello")
    await bob.until_texts(7, "hello")
    metrics, sample = cluster.edges[0].context.metrics, cluster.registries[0].get_sample_value
    frames_out = len(alice.socket.received) + len(bob.socket.received)
    for direction, frames in (("in", 3), ("out", frames_out)):
        assert sample(f"dragoman_edge_frames_{direction}_total", {"dialect": "lines"}) == frames
    names = ("deliveries_total", "encodings_total", "post_seconds_count", "delivery_seconds_count")
    assert [sample(f"dragoman_edge_{name}") for name in names] == [2, 1, 1, 2]
    await until(lambda: metrics.accounts._value.get() == 2)
    assert metrics.connections.labels("lines")._value.get() == 2
    assert metrics.chats._value.get() == 1


async def test_connections_that_are_ticked_in_parts_are_all_counted(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.client.endpoint._PART_CONNECTIONS", 2)
    edge = await cluster.add_edge()
    for account in range(1, 6):
        await cluster.client(account)
    await until(lambda: edge.context.metrics.connections.labels("lines")._value.get() == 5)
    assert edge.context.metrics.undecided._value.get() == 0
