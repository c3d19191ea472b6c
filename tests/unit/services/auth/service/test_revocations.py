"""Logout, revocations, maintenance mode and keys, by requests over NATS."""

from shared.contract.auth import Authenticated, GetKeys, ListRevocations, Logout
from shared.contract.edge import MaintenanceSet, Revoked
from shared.contract.routes import Ack
from tests.unit.services.auth.cluster import AuthCluster, EdgeProbe


async def test_logout_notifies_all_edges_once(cluster: AuthCluster, edge: EdgeProbe) -> None:
    made = await edge.register("ann@example.org")
    assert await edge.send(Logout(made.sid, made.account)) == Ack()
    [revocation] = (await edge.receive(Revoked)).revocations
    assert (revocation.account, revocation.sid) == (made.account, made.sid)
    assert revocation.number > made.revision
    await edge.send(Logout(made.sid, made.account))
    listed = await edge.send(ListRevocations(made.revision))
    assert (listed.revocations, listed.last, listed.more) == ([revocation], revocation.number, False)
    assert (await edge.send(ListRevocations(listed.last))).revocations == []
    reply = await edge.login("ann@example.org")
    assert isinstance(reply, Authenticated)
    assert reply.revision == revocation.number
    assert edge.has_received_nothing


async def test_the_state_is_announced_each_second(cluster: AuthCluster, edge: EdgeProbe) -> None:
    """Edges compare their state with the announced one: the last revocation, maintenance mode, and the keys."""
    made = await edge.register("ann@example.org")
    await edge.send(Logout(made.sid, made.account))
    listed = await edge.send(ListRevocations())
    state = await edge.receive_state(lambda state: state.last == listed.last)
    keys = [key.kid for key in (await edge.send(GetKeys())).keys]
    assert (state.revocations, state.more, state.keys, len(keys)) == ([], False, keys, 1)
    assert not state.maintenance
    assert abs(state.now - listed.now) < 60_000
    await cluster.set_maintenance(True)
    await edge.receive_state(lambda state: state.maintenance)


async def test_maintenance_notifies_edges_and_survives_a_restart(cluster: AuthCluster, edge: EdgeProbe) -> None:
    assert not (await edge.send(ListRevocations())).maintenance
    await cluster.set_maintenance(True)
    assert (await edge.receive(MaintenanceSet)).on
    await cluster.stop_auth()
    cluster.start_auth()
    assert (await edge.send(ListRevocations())).maintenance
