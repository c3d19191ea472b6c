"""Connections have requests that wait for their turn, on a running edge."""

from shared.contract.errors import ErrorCode
from tests.unit.services.edge.conftest import EdgeCluster

LIMITS = {"rates": True, "requests_per_second": 20.0, "requests_burst": 5, "requests_burst_before_login": 5}


async def test_an_edge_that_stops_rejects_what_waits_for_its_turn(cluster: EdgeCluster) -> None:
    (alice,) = await cluster.enter(1, limits={**LIMITS, "requests_per_second": 0.1})
    sent = [alice.send(do="account", account=2) for _ in range(12)]
    await alice.reply_to(sent[3])
    await cluster.edges[0].drain()
    assert alice.replied_refs[-12:] == sent
    assert [alice.replies[ref] for ref in sent[-7:]] == [ErrorCode.UNAVAILABLE] * 7
    assert alice.socket.closed_with == (1012, "restarting, please reconnect")


async def test_a_client_that_has_ended_its_input_gets_all_replies(cluster: EdgeCluster) -> None:
    (alice,) = await cluster.enter(1, limits=LIMITS)
    sent = [alice.send(do="account", account=2) for _ in range(20)]
    alice.client.input_ended()
    await alice.socket.until(lambda: alice.socket.closed_with is not None)
    assert alice.replied_refs[-20:] == sent
    assert {alice.replies[ref] for ref in sent} == {"name-2"}


async def test_a_sender_that_goes_on_is_answered_and_closed(cluster: EdgeCluster) -> None:
    (alice,) = await cluster.enter(1, limits={**LIMITS, "requests_per_second": 0.1, "requests_waiting": 10})
    sent = [alice.send(do="account", account=2) for _ in range(40)]
    await alice.socket.until(lambda: alice.socket.closed_with is not None)
    assert alice.socket.closed_with == (1008, "too many requests")
    answered = alice.replied_refs[1:]
    assert answered == sent[: len(answered)]
    assert len(answered) > 10
    assert alice.replies[answered[-1]] == ErrorCode.RATE_LIMITED
