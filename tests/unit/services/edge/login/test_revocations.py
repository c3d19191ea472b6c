"""Revoked logins end within a second, even if events are lost or reordered. Maintenance mode is pushed once."""

import asyncio

import pytest

from services.edge.app import Edge
from shared.contract.auth import DeleteAccount, ListRevocations, Login
from shared.contract.edge import Kicked
from shared.contract.ids import AccountId
from shared.contract.recovery import Recover
from shared.contract.session import EnsureProfile
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient


@pytest.fixture(autouse=True)
def shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Edges request revocations often, so that no test waits for the next request."""
    monkeypatch.setattr("services.edge.login.revocations._INTERVAL_SECONDS", 0.2)


async def until_closed(device: EdgeClient, reason: str = "logged out") -> None:
    await device.socket.until(lambda: device.socket.closed_with is not None)
    assert device.socket.closed_with == (1008, reason)


async def test_a_revocation_ends_every_connection_of_the_account(cluster: EdgeCluster) -> None:
    here, there = await cluster.add_edge(), await cluster.add_edge()
    phone, desktop = await cluster.client(1, here), await cluster.client(1, there)
    other = await cluster.client(2, here)
    await cluster.auth.revoke(1)
    await until_closed(phone)
    await until_closed(desktop)
    assert await other.request(do="status") == "ServerStatus"


async def test_one_login_session_is_revoked_alone(cluster: EdgeCluster) -> None:
    phone, desktop = await cluster.enter(1, 1)
    await cluster.auth.revoke(1, sid=phone.client.connection.sid)
    await until_closed(phone)
    assert await desktop.request(do="status") == "ServerStatus"


async def test_while_auth_announces_its_state_revocations_are_requested_only_when_some_are_missing(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.login.revocations._INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr("services.edge.login.revocations._SILENCE_SECONDS", 1.5)
    edge = await cluster.add_edge()
    phone = await cluster.client(1)
    await cluster.auth.announce()
    await edge.watcher.refresh()
    sent = len(cluster.auth.requests_of(ListRevocations))
    for _ in range(10):
        await cluster.auth.announce()
        await asyncio.sleep(0.1)
    assert len(cluster.auth.requests_of(ListRevocations)) <= sent + 2
    await cluster.auth.revoke(1, notified=False)
    await cluster.auth.announce()
    await until_closed(phone)
    assert edge.auth_state.revision == 1
    await cluster.auth.until_requested(ListRevocations, len(cluster.auth.requests_of(ListRevocations)) + 2)


async def test_an_announcement_of_maintenance_is_enough(cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.edge.login.revocations._INTERVAL_SECONDS", 60.0)
    (phone,) = await cluster.enter(1)
    await cluster.edges[0].watcher.refresh()
    cluster.auth.maintenance = True
    await cluster.auth.announce()
    await phone.until_event("MaintenanceChanged", True)


async def test_more_revocations_than_one_reply_holds(cluster: EdgeCluster) -> None:
    await cluster.add_edge()
    devices = [await cluster.client(account) for account in (1, 2)]
    for account in (*range(1000, 1250), 1, 2):
        await cluster.auth.revoke(account, notified=False)
    for device in devices:
        await until_closed(device)


async def test_the_list_of_all_revocations_ends_no_later_login(
    cluster: EdgeCluster, edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.login.revocations._LIST_SECONDS", 0.0)
    for account in (1, *range(1000, 1250)):
        await cluster.auth.revoke(account, notified=False)
    await edge.watcher.refresh()
    phone, desktop = await cluster.client(1), await cluster.client(1000)
    await edge.watcher.refresh()
    assert await phone.request(do="status") == "ServerStatus"
    assert edge.auth_state.revision == 251
    await cluster.auth.revoke(1000, notified=False)
    await until_closed(desktop)


async def test_a_login_after_the_revocation_is_not_ended(cluster: EdgeCluster, edge: Edge) -> None:
    await cluster.auth.revoke(1)
    phone = await cluster.client(1)
    sent = len(cluster.auth.requests_of(ListRevocations))
    await cluster.auth.until_requested(ListRevocations, sent + 2)
    assert await phone.request(do="status") == "ServerStatus"
    assert edge.auth_state.revision == 1


async def test_a_revocation_during_the_login_ends_it(cluster: EdgeCluster, edge: Edge) -> None:
    """The edge has applied the revocation before it gets the account's number."""
    for kind in (Login, EnsureProfile):
        neighbour = cluster.auth if kind is Login else cluster.session
        phone = EdgeClient(edge.endpoint)
        gate = neighbour.block(kind)
        sent = len(neighbour.requests_of(kind))
        phone.send(do="login", account=1)
        await neighbour.until_requested(kind, sent + 1)
        await cluster.auth.revoke(1)
        await edge.watcher.refresh()
        assert edge.auth_state.revision == len(cluster.auth.revocations)
        gate.set()
        await until_closed(phone)


async def test_a_deletion_is_answered_and_other_devices_are_closed(cluster: EdgeCluster) -> None:
    phone, desktop = await cluster.enter(1, 1)
    assert await phone.request(do="delete") == "Ack"
    await until_closed(desktop)
    assert await phone.request(do="account", account=1) == "unauthenticated"
    assert phone.client.dialect.entered_as == [1, 0]  # type: ignore[attr-defined]
    assert await phone.request(do="login", account=2) == 2


async def test_a_deletion_without_a_reply_leaves_no_revoked_connection(cluster: EdgeCluster) -> None:
    (phone,) = await cluster.enter(1, request_seconds=1.0)
    cluster.auth.block(DeleteAccount)
    assert await phone.request(do="delete") == "unavailable"
    await cluster.edges[0].watcher.refresh()
    await until_closed(phone)


async def test_a_recovery_is_answered_before_the_login_ends(cluster: EdgeCluster) -> None:
    phone, desktop, other = await cluster.enter(1, 1, 2)
    gate = cluster.auth.block(Recover)
    sent = phone.send(do="recover", account=1)
    await until_closed(desktop)
    assert phone.replied_refs == [1]
    gate.set()
    assert await phone.reply_to(sent) == "AccountRecovered"
    await until_closed(phone)
    assert await other.request(do="recover", account=1) == "AccountRecovered"
    assert await other.request(do="account", account=2) == "name-2"


async def test_every_connection_is_notified_of_maintenance_once(cluster: EdgeCluster, edge: Edge) -> None:
    await edge.watcher.refresh()
    phone, stranger = await cluster.client(1), EdgeClient(edge.endpoint)
    await stranger.request(do="status")
    for on in (True, False):
        await cluster.auth.set_maintenance(on)
        for device in (phone, stranger):
            await device.until_event("MaintenanceChanged", on)
    await edge.watcher.refresh()
    assert phone.events == [("MaintenanceChanged", True), ("MaintenanceChanged", False)]


async def test_an_older_reply_does_not_undo_pushed_maintenance(cluster: EdgeCluster, edge: Edge) -> None:
    phone = await cluster.client(1)
    await edge.watcher.refresh()
    gate = cluster.auth.block(ListRevocations)
    refreshing = asyncio.create_task(edge.watcher.refresh())
    await cluster.auth.until_requested(ListRevocations, len(cluster.auth.requests_of(ListRevocations)) + 1)
    await cluster.auth.set_maintenance(True)
    await phone.until_event("MaintenanceChanged", True)
    gate.set()
    await refreshing
    assert edge.auth_state.maintenance
    assert phone.events == [("MaintenanceChanged", True)]


async def test_an_edge_that_starts_in_maintenance_notifies_no_connection(cluster: EdgeCluster) -> None:
    cluster.auth.maintenance = True
    edge = await cluster.add_edge()
    stranger = EdgeClient(edge.endpoint)
    await edge.watcher.refresh()
    await stranger.request(do="status")
    assert edge.auth_state.maintenance
    assert stranger.events == []


async def test_a_kick_closes_every_connection_of_the_account_and_ends_no_login(cluster: EdgeCluster) -> None:
    here, there = await cluster.add_edge(), await cluster.add_edge()
    phone, desktop = await cluster.client(1, here), await cluster.client(1, there)
    other = await cluster.client(2, here)
    await cluster.auth.notify(Kicked(AccountId(1)))
    for device in (phone, desktop):
        await until_closed(device, "disconnected by the operator")
    assert await other.request(do="status") == "ServerStatus"
    assert await (await cluster.client(1, here)).request(do="status") == "ServerStatus"
