"""Users watch the presence of others between edges, on a real NATS and a real Valkey."""

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from services.edge.app import Edge
from services.edge.ephemeral import presence_watch
from shared.contract.contacts import FindWatchable
from shared.contract.ids import AccountId
from shared.presence import states as presence_states
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient

ANN, BOB, CEM = 1, 2, 3


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence_watch, "_PERIOD_SECONDS", 0.05)


@pytest.fixture
async def edges(cluster: EdgeCluster) -> list[Edge]:
    return [await cluster.add_edge(), await cluster.add_edge()]


def shown(client: EdgeClient) -> list[object]:
    return [one["value"] for one in client.seen if one.get("event") == "PresenceChanged"]


async def test_a_watched_account_comes_and_goes(cluster: EdgeCluster, edges: list[Edge]) -> None:
    ann = await cluster.client(ANN, edges[0])
    assert await ann.request(do="presence", accounts=[ANN, BOB]) == [[ANN, "active"], [BOB, "offline"]]
    bob = await cluster.client(BOB, edges[1])
    await ann.until_event("PresenceChanged", [BOB, "active"])
    bob.socket.leave()
    await ann.until_event("PresenceChanged", [BOB, "offline"])
    assert shown(ann) == [[BOB, "active"], [BOB, "offline"]]


async def test_a_state_lasts_as_long_as_its_connection(cluster: EdgeCluster, edges: list[Edge]) -> None:
    ann = await cluster.client(ANN, edges[0])
    bob, other = await cluster.client(BOB, edges[1]), await cluster.client(BOB, edges[0])
    assert await bob.request(do="here", state="busy") == "Ack"
    assert await ann.request(do="presence", accounts=[BOB]) == [[BOB, "busy"]]
    await other.request(do="here", state="away")
    await ann.until_event("PresenceChanged", [BOB, "away"])
    bob.socket.leave()
    await other.request(do="here", state="busy")
    await ann.until_event("PresenceChanged", [BOB, "busy"])
    assert await other.request(do="here", state="away") == "Ack"
    await cluster.client(BOB, edges[1])
    other.socket.leave()
    await ann.until_event("PresenceChanged", [BOB, "active"])


async def test_a_hidden_account_is_offline_to_others(cluster: EdgeCluster, edges: list[Edge]) -> None:
    ann, bob = await cluster.client(ANN, edges[0]), await cluster.client(BOB, edges[1])
    await bob.request(do="here", state="hidden")
    for client, state in ((ann, "offline"), (bob, "hidden")):
        assert await client.request(do="presence", accounts=[BOB, CEM]) == [[BOB, state], [CEM, "offline"]]
    bob.socket.leave()
    cem = await cluster.client(CEM, edges[1])
    await ann.until_event("PresenceChanged", [CEM, "active"])
    while await edges[0].presence.nodes([AccountId(BOB)]) != {BOB: ()}:
        await cem.request(do="ping")
    await edges[0]._ephemeral.watching.poll()
    assert shown(ann) == [[CEM, "active"]]


async def test_a_text_is_shown_beside_its_state_until_the_next_one(cluster: EdgeCluster, edges: list[Edge]) -> None:
    ann, bob = await cluster.client(ANN, edges[0]), await cluster.client(BOB, edges[1])
    await bob.request(do="here", state="away", text="lunch 🍜 till two")
    assert await ann.request(do="presence", accounts=[BOB]) == [[BOB, "away", "lunch 🍜 till two"]]
    await bob.request(do="here", state="away", text="later")
    await ann.until_event("PresenceChanged", [BOB, "away", "later"])
    await bob.request(do="here", state="busy")
    await ann.until_event("PresenceChanged", [BOB, "busy"])
    await bob.request(do="here", state="busy", text="a call")
    await ann.until_event("PresenceChanged", [BOB, "busy", "a call"])
    bob.socket.leave()
    await ann.until_event("PresenceChanged", [BOB, "offline"])


async def test_others_are_unknown(cluster: EdgeCluster, edges: list[Edge]) -> None:
    ann, _ = await cluster.client(ANN, edges[0]), await cluster.client(BOB, edges[1])
    session = cluster.session
    session.unwatchable.add(AccountId(BOB))
    assert await ann.request(do="presence", accounts=[BOB]) == [[BOB, "unknown"]]
    session.unwatchable.clear()
    await edges[1]._ephemeral.blocks_changed(AccountId(ANN))
    await ann.until_event("PresenceChanged", [BOB, "active"])
    session.unwatchable.add(AccountId(BOB))
    await edges[1]._ephemeral.blocks_changed(AccountId(ANN))
    await ann.until_event("PresenceChanged", [BOB, "unknown"])
    assert shown(ann) == [[BOB, "active"], [BOB, "unknown"]]


async def test_a_list_replaces_the_former_one(cluster: EdgeCluster, edges: list[Edge]) -> None:
    ann = await cluster.client(ANN, edges[0])
    await ann.request(do="presence", accounts=[BOB])
    assert await ann.request(do="presence", accounts=[CEM]) == [[CEM, "offline"]]
    for account in (BOB, CEM):
        await cluster.client(account, edges[1])
    await ann.until_event("PresenceChanged", [CEM, "active"])
    assert await ann.request(do="presence", accounts=[]) == []
    assert shown(ann) == [[CEM, "active"]]
    assert edges[0]._ephemeral.watching._lists.watched() == []


async def test_nothing_is_read_once_the_watcher_has_gone(cluster: EdgeCluster, edges: list[Edge]) -> None:
    ann = await cluster.client(ANN, edges[0])
    await ann.request(do="presence", accounts=[BOB])
    ann.socket.leave()
    watching = edges[0]._ephemeral.watching
    await watching.poll()
    assert (watching._lists.watched(), watching._lists.watchers) == ([], {})


async def test_a_busy_client_is_shown_the_last_state_later(cluster: EdgeCluster, edges: list[Edge]) -> None:
    ann = await cluster.client(ANN, edges[0])
    await ann.request(do="presence", accounts=[BOB])
    ann.socket.deaf = True
    ann.socket.send((b'{"event": "big", "value": "%b"}' % (b"x" * 5000),))
    bob = await cluster.client(BOB, edges[1])
    for state in ("busy", "away"):
        await bob.request(do="here", state=state)
        await edges[0]._ephemeral.watching.poll()
    ann.socket.stop_being_deaf()
    await ann.until_event("PresenceChanged", [BOB, "away"])
    assert shown(ann) == [[BOB, "away"]]


async def test_what_may_be_seen_is_checked_again(
    cluster: EdgeCluster, edges: list[Edge], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, _ = await cluster.client(ANN, edges[0]), await cluster.client(BOB, edges[1])
    await ann.request(do="presence", accounts=[BOB])
    cluster.session.unwatchable.add(AccountId(BOB))
    assert len(cluster.session.requests_of(FindWatchable)) == 1
    monkeypatch.setattr(presence_watch, "_CHECKED_SECONDS", 0.0)
    await ann.until_event("PresenceChanged", [BOB, "unknown"])


async def test_presence_that_is_away_or_lost_changes_nothing(
    cluster: EdgeCluster, edges: list[Edge], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await cluster.client(ANN, edges[0]), await cluster.client(BOB, edges[1])
    await bob.request(do="here", state="busy")
    await ann.request(do="presence", accounts=[BOB])

    async def fail(_: object) -> None:
        raise RedisConnectionError("away")

    with monkeypatch.context() as broken:
        for edge in edges:
            broken.setattr(edge.presence, "states", fail)
            broken.setattr(edge.presence, "change_states", fail)
        assert await bob.request(do="here", state="away") == "unavailable"
        assert await ann.request(do="presence", accounts=[BOB]) == [[BOB, "unknown"]]
        with pytest.raises(RedisConnectionError):
            await edges[0]._ephemeral.watching.poll()
    await ann.until_event("PresenceChanged", [BOB, "busy"])
    with monkeypatch.context() as lost:
        lost.setattr(type(edges[0].presence), "has_lost_state", True)
        await edges[1].presence.change_states([("DEL", presence_states.key(BOB))])
        for edge in edges:
            await edge._ephemeral.watching.poll()
        assert await ann.request(do="presence", accounts=[CEM]) == [[CEM, "unknown"]]
    await edges[1]._ephemeral.watching.poll()
    assert await ann.request(do="presence", accounts=[BOB]) == [[BOB, "busy"]]
