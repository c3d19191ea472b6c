"""The guests of one edge."""

from types import SimpleNamespace
from typing import Any

from services.edge.presence.guests import LocalGuests
from shared.contract.auth import DeleteAccount
from shared.contract.ids import AccountId
from shared.contract.routes import Ack
from shared.tasks import Tasks
from tests.support.waiting import WAIT_SECONDS

GUEST, USER = AccountId(1), AccountId(2)


async def test_a_guest_ends_with_its_connection_unless_it_has_registered() -> None:
    sent: list[Any] = []

    async def send(request: object, **options: object) -> Ack:
        sent.append(request)
        return Ack()

    tasks, bus, nicks = Tasks(), SimpleNamespace(send=send), SimpleNamespace(stop_monitoring=lambda connection: None)
    guests = LocalGuests(bus, tasks, nicks)  # type: ignore[arg-type]
    for account in (GUEST, USER):
        guests.began(account, None)
    guests.registered(USER)
    assert (GUEST in guests, USER in guests) == (True, False)
    for account in (GUEST, USER):
        guests.left(account, 7)
    await tasks.finish(WAIT_SECONDS)
    (ended,) = sent
    assert isinstance(ended, DeleteAccount)
    assert (ended.actor, ended.of_guest) == (GUEST, True)
