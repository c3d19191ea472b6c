"""Revoked logins end within a second, whatever is lost or overtaken; maintenance mode is told once."""

import asyncio

from shared.contract.auth import DeleteAccount, ListRevocations, Login, Recover
from shared.contract.edge import Kicked
from shared.contract.ids import AccountId
from shared.contract.session import EnsureProfile
from tests.unit.services.edge.conftest import Town
from tests.unit.services.edge.devices import Device


async def until_closed(device: Device, reason: str = "logged out") -> None:
    await device.wire.until(lambda: device.wire.closed_with is not None)
    assert device.wire.closed_with == (1008, reason)


async def test_a_revocation_ends_every_connection_of_the_account(town: Town) -> None:
    here, there = await town.edge(), await town.edge()
    phone, desk = await town.device(1, here), await town.device(1, there)
    other = await town.device(2, here)
    await town.auth.revoke(1)
    await until_closed(phone)
    await until_closed(desk)
    assert await other.ask(do="status") == "ServerStatus"


async def test_one_login_session_is_revoked_alone(town: Town) -> None:
    await town.edge()
    phone, desk = await town.device(1), await town.device(1)
    await town.auth.revoke(1, sid=phone.client.connection.sid)
    await until_closed(phone)
    assert await desk.ask(do="status") == "ServerStatus"


async def test_a_revocation_whose_notice_is_lost_is_asked_for(town: Town) -> None:
    await town.edge()
    phone = await town.device(1)
    await town.auth.revoke(1, told=False)
    await until_closed(phone)


async def test_more_revocations_than_one_answer_holds(town: Town) -> None:
    await town.edge()
    devices = [await town.device(account) for account in (1, 2)]
    for account in (*range(1000, 1250), 1, 2):
        await town.auth.revoke(account, told=False)
    for device in devices:
        await until_closed(device)


async def test_a_login_after_the_revocation_stays(town: Town) -> None:
    edge = await town.edge()
    await town.auth.revoke(1)
    phone = await town.device(1)
    asked = len(town.auth.of(ListRevocations))
    await town.auth.until_asked(ListRevocations, asked + 2)
    assert await phone.ask(do="status") == "ServerStatus"
    assert edge.auth_state.revision == 1


async def test_a_revocation_during_the_login_ends_it_all_the_same(town: Town) -> None:
    """The secret was right when it was checked. By the time the edge knows who it is, all has been heard already."""
    edge = await town.edge()
    for kind in (Login, EnsureProfile):
        neighbour = town.auth if kind is Login else town.session
        phone = Device(edge.endpoint)
        gate = neighbour.close(kind)
        asked = len(neighbour.of(kind))
        phone.say(do="login", account=1)
        await neighbour.until_asked(kind, asked + 1)
        await town.auth.revoke(1)
        await edge.watcher.refresh()
        assert edge.auth_state.revision == len(town.auth.revocations)
        gate.set()
        await until_closed(phone)


async def test_who_deletes_the_account_is_answered_and_other_devices_are_closed(town: Town) -> None:
    await town.edge()
    phone, desk = await town.device(1), await town.device(1)
    assert await phone.ask(do="delete") == "Ack"
    await until_closed(desk)
    assert await phone.ask(do="account", account=1) == "unauthenticated"
    assert phone.client.dialect.entered_as == [1, 0]  # type: ignore[attr-defined]
    assert await phone.ask(do="login", account=2) == 2


async def test_a_deletion_without_an_answer_does_not_leave_a_revoked_connection(town: Town) -> None:
    edge = await town.edge(request_seconds=2.0)
    phone = await town.device(1)
    town.auth.close(DeleteAccount)
    assert await phone.ask(do="delete") == "unavailable"
    await edge.watcher.refresh()
    await until_closed(phone)


async def test_who_gets_a_new_password_is_answered_before_the_login_ends(town: Town) -> None:
    await town.edge()
    phone, desk, other = await town.device(1), await town.device(1), await town.device(2)
    gate = town.auth.close(Recover)
    asked = phone.say(do="recover", account=1)
    await until_closed(desk)
    assert phone.answered == [1]
    gate.set()
    assert await phone.answer(asked) == "Ack"
    await until_closed(phone)
    assert await other.ask(do="recover", account=1) == "Ack"
    assert await other.ask(do="account", account=2) == "name-2"


async def test_maintenance_is_told_to_everybody_once(town: Town) -> None:
    edge = await town.edge()
    await edge.watcher.refresh()
    phone, stranger = await town.device(1), Device(edge.endpoint)
    await stranger.ask(do="status")
    for on in (True, False):
        await town.auth.maintain(on)
        for device in (phone, stranger):
            await device.until_event("MaintenanceChanged", on)
    await edge.watcher.refresh()
    assert phone.events == [("MaintenanceChanged", True), ("MaintenanceChanged", False)]


async def test_an_answer_of_before_does_not_undo_what_was_told_since(town: Town) -> None:
    edge = await town.edge()
    phone = await town.device(1)
    await edge.watcher.refresh()
    gate = town.auth.close(ListRevocations)
    asking = asyncio.create_task(edge.watcher.refresh())
    await town.auth.until_asked(ListRevocations, len(town.auth.of(ListRevocations)) + 1)
    await town.auth.maintain(True)
    await phone.until_event("MaintenanceChanged", True)
    gate.set()
    await asking
    assert edge.auth_state.maintenance
    assert phone.events == [("MaintenanceChanged", True)]


async def test_an_edge_that_starts_in_maintenance_knows_it_and_tells_nobody(town: Town) -> None:
    town.auth.maintenance = True
    edge = await town.edge()
    stranger = Device(edge.endpoint)
    await edge.watcher.refresh()
    await stranger.ask(do="status")
    assert edge.auth_state.maintenance
    assert stranger.events == []


async def test_a_kick_ends_every_connection_of_the_account_and_no_login(town: Town) -> None:
    here, there = await town.edge(), await town.edge()
    phone, desk = await town.device(1, here), await town.device(1, there)
    other = await town.device(2, here)
    await town.auth.tell(Kicked(AccountId(1)))
    for device in (phone, desk):
        await until_closed(device, "disconnected by the operator")
    assert await other.ask(do="status") == "ServerStatus"
    assert await (await town.device(1, here)).ask(do="status") == "ServerStatus"
