"""Tests the guests (users without an account of their own) of one edge."""

from collections import Counter
from types import SimpleNamespace

from services.edge.presence.guests import LocalGuests
from shared.contract.auth import DeleteAccount
from shared.contract.ids import AccountId, NodeId
from shared.contract.model import ProfileSummary
from shared.contract.routes import Ack
from shared.tasks import Tasks
from tests.support.waiting import WAIT_SECONDS

GUEST, USER = AccountId(1), AccountId(2)


SUMMARY = ProfileSummary("gus", "u1", nick="gus", guest="~gus")


class Guests:
    """Guests of an edge: those that auth had to delete, and those that were seen coming (True) and leaving (False)."""

    def __init__(self) -> None:
        self.deleted: list[AccountId] = []
        self.seen: list[tuple[AccountId, bool]] = []
        self.here: Counter[AccountId] = Counter()
        self.elsewhere: list[NodeId] = []
        self._tasks = Tasks()
        bus, nicks = SimpleNamespace(send=self._send), SimpleNamespace(seen=self._seen, stop_monitoring=lambda _: None)
        self.connections = SimpleNamespace(
            connections=self.here.__getitem__, other_nodes=self._other_nodes, presence_unknown=False
        )
        self.local = LocalGuests(bus, self._tasks, nicks, self.connections)  # type: ignore[arg-type]

    def enter(self, account: AccountId) -> None:
        self.here[account] += 1
        self.local.began(account, SUMMARY, elsewhere=bool(self.elsewhere))

    async def leave(self, account: AccountId, *, returns: bool = False) -> None:
        self.here[account] -= 1
        self.local.left(account, 7)
        if returns:
            self.enter(account)
        await self._tasks.finish(WAIT_SECONDS)

    def _seen(self, account: AccountId, face: ProfileSummary, *, online: bool) -> None:
        assert face == SUMMARY
        self.seen.append((account, online))

    async def _other_nodes(self, _account: AccountId) -> list[NodeId]:
        return self.elsewhere

    async def _send(self, request: object, **options: object) -> Ack:
        assert isinstance(request, DeleteAccount)
        assert request.of_guest
        self.deleted.append(request.actor)
        return Ack()


async def test_a_guest_ends_with_its_connection_unless_it_has_registered() -> None:
    guests = Guests()
    for account in (GUEST, USER):
        guests.enter(account)
    guests.local.ended(USER)
    assert (GUEST in guests.local, USER in guests.local) == (True, False)
    for account in (GUEST, USER):
        await guests.leave(account)
    assert guests.deleted == [GUEST]
    assert guests.seen == [(GUEST, True), (USER, True), (USER, False), (GUEST, False)]


async def test_a_guest_that_has_registered_on_another_node_stays() -> None:
    guests = Guests()
    guests.enter(GUEST)
    guests.local.renamed(GUEST, ProfileSummary("gus", "u1", nick="gus"))
    assert GUEST not in guests.local
    await guests.leave(GUEST)
    assert (guests.deleted, guests.seen) == ([], [(GUEST, True), (GUEST, False)])


async def test_a_guest_ends_with_its_last_connection() -> None:
    guests = Guests()
    guests.enter(GUEST)
    assert await guests.local.is_last(GUEST)
    guests.enter(GUEST)
    assert not await guests.local.is_last(GUEST)
    await guests.leave(GUEST)
    assert (guests.deleted, guests.seen) == ([], [(GUEST, True)])
    await guests.leave(GUEST)
    assert (guests.deleted, guests.seen) == ([GUEST], [(GUEST, True), (GUEST, False)])


async def test_a_guest_on_another_node_stays() -> None:
    guests = Guests()
    guests.elsewhere = [NodeId("other")]
    guests.enter(GUEST)
    assert not await guests.local.is_last(GUEST)
    await guests.leave(GUEST)
    assert GUEST not in guests.local
    assert (guests.deleted, guests.seen) == ([], [])


async def test_a_guest_that_may_be_on_another_node_stays() -> None:
    """Auth deletes the guest later, unless another edge reports it."""
    guests = Guests()
    guests.connections.presence_unknown = True
    guests.enter(GUEST)
    assert not await guests.local.is_last(GUEST)
    await guests.leave(GUEST)
    assert GUEST not in guests.local
    assert guests.deleted == []


async def test_a_guest_that_has_come_back_meanwhile_stays() -> None:
    guests = Guests()
    guests.enter(GUEST)
    await guests.leave(GUEST, returns=True)
    assert GUEST in guests.local
    assert (guests.deleted, guests.seen) == ([], [(GUEST, True)])


async def test_a_deleted_guest_has_left_at_once() -> None:
    guests = Guests()
    guests.enter(GUEST)
    guests.local.ended(GUEST)
    assert guests.seen == [(GUEST, True), (GUEST, False)]
    await guests.leave(GUEST)
    assert (guests.deleted, guests.seen) == ([], [(GUEST, True), (GUEST, False)])
