"""Who is here and in presence, whatever overtakes what."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from services.edge.canonical.events import Event
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.presence.local_accounts import LocalAccounts
from shared.contract.auth import Revocation
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.presence import Presence
from shared.settings import Limits
from tests.support.servers import ValkeyServer

HERE, THERE = NodeId("here"), NodeId("there")
ALICE, BOB = AccountId(1), AccountId(2)


class NullRecipient:
    """Does nothing."""

    pushes_pending_requests = False
    names_senders = False

    def deliver(self, said: Sequence[EncodedMessage]) -> None: ...

    def notify(self, event: Event) -> None: ...

    def catch_up(self, chat: ChatId, fresh: int) -> None: ...

    def close(self, code: int, reason: str) -> None: ...

    def revoked(self, revocation: Revocation) -> None: ...

    async def confirm_all(self) -> None: ...


class Slow(Presence):
    """Calls wait at the gate; with `after`, when Redis has done them already. `broken` ones fail."""

    def __init__(self, server: ValkeyServer) -> None:
        super().__init__(server.settings("edge"))
        self.gate = asyncio.Event()
        self.gate.set()
        self.after = False
        self.broken = False
        self.calls: list[str] = []
        self.called = asyncio.Event()

    async def join(self, node: NodeId, accounts: Collection[AccountId]) -> dict[AccountId, list[NodeId]]:
        await self._pass("join")
        others = await super().join(node, accounts)
        await self._pass_after()
        return others

    async def leave(self, node: NodeId, accounts: Collection[AccountId]) -> None:
        await self._pass("leave")
        await super().leave(node, accounts)
        await self._pass_after()

    async def _pass(self, name: str) -> None:
        self.calls.append(name)
        self.called.set()
        if self.broken:
            raise RedisConnectionError
        if not self.after:
            await self.gate.wait()

    async def _pass_after(self) -> None:
        if self.after:
            await self.gate.wait()


@pytest.fixture
async def presence(valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Slow]:
    monkeypatch.setattr("shared.presence._TRUST_SECONDS", 0.0)
    presence = Slow(valkey_server)
    await presence.beat(HERE, 10.0)
    yield presence
    await presence.close()


@pytest.fixture
def residents(presence: Slow) -> LocalAccounts:
    return LocalAccounts(HERE, presence, Limits())


async def where(presence: Presence, account: AccountId) -> list[NodeId]:
    homes = (await presence.lookup([account])).nodes
    assert homes is not None
    return list(homes.get(account, ()))


async def test_the_other_nodes_of_an_account_are_told(presence: Slow, residents: LocalAccounts) -> None:
    await presence.join(THERE, [ALICE])
    assert await residents.register(ALICE) == [THERE]
    assert await residents.register(BOB) == []
    assert sorted(await where(presence, ALICE)) == [HERE, THERE]


async def test_connections_share_a_resident_and_its_rate(residents: LocalAccounts) -> None:
    first, second = NullRecipient(), NullRecipient()
    resident = residents.attach(ALICE, first, 0.0)
    assert residents.attach(ALICE, second, 5.0) is resident
    assert resident.recipients == (first, second)
    assert not residents.detach(resident, first)
    assert residents.awaiting_leave() == []
    assert residents.detach(resident, second)
    assert residents.awaiting_leave() == [ALICE]
    assert len(residents) == 0


async def test_presence_is_left_for_those_who_are_gone_only(presence: Slow, residents: LocalAccounts) -> None:
    for account in (ALICE, BOB):
        await residents.register(account)
        residents.attach(account, NullRecipient(), 0.0)
    alice = residents.by_account[ALICE]
    residents.detach(alice, alice.recipients[0])
    departed = residents.awaiting_leave()
    await residents.leave([*departed, BOB])
    assert await where(presence, ALICE) == []
    assert await where(presence, BOB) == [HERE]
    assert residents.awaiting_leave() == []


async def test_who_registered_and_never_came_is_left_again(presence: Slow, residents: LocalAccounts) -> None:
    await residents.register(ALICE)
    assert residents.awaiting_leave() == [ALICE]
    await residents.leave(residents.awaiting_leave())
    assert await where(presence, ALICE) == []


@pytest.mark.parametrize("after", [False, True])
async def test_who_comes_back_while_the_departure_is_under_way_stays(
    presence: Slow, residents: LocalAccounts, after: bool
) -> None:
    await residents.register(ALICE)
    presence.gate.clear()
    presence.after = after
    presence.called.clear()
    leaving = asyncio.create_task(residents.leave([ALICE]))
    await presence.called.wait()
    coming = asyncio.create_task(residents.register(ALICE))
    await asyncio.sleep(0)
    assert presence.calls == ["join", "leave"]  # the second join waits for its turn
    presence.gate.set()
    await asyncio.gather(leaving, coming)
    residents.attach(ALICE, NullRecipient(), 0.0)
    assert await where(presence, ALICE) == [HERE]
    assert residents.awaiting_leave() == []


async def test_who_comes_back_and_leaves_again_meanwhile_is_left_later(
    presence: Slow, residents: LocalAccounts
) -> None:
    recipient = NullRecipient()
    await residents.register(ALICE)
    presence.gate.clear()
    presence.called.clear()
    leaving = asyncio.create_task(residents.leave([ALICE]))
    await presence.called.wait()
    resident = residents.attach(ALICE, recipient, 0.0)
    residents.detach(resident, recipient)
    presence.gate.set()
    await leaving
    assert residents.awaiting_leave() == [ALICE]


async def test_presence_is_not_left_while_it_is_being_joined(presence: Slow, residents: LocalAccounts) -> None:
    await residents.register(ALICE)
    presence.gate.clear()
    presence.called.clear()
    coming = asyncio.create_task(residents.register(ALICE))
    await presence.called.wait()
    await residents.leave(residents.awaiting_leave())
    presence.gate.set()
    await coming
    assert await where(presence, ALICE) == [HERE]
    assert presence.calls == ["join", "join"]
    assert residents.awaiting_leave() == [ALICE]


async def test_without_redis_nobody_waits_and_the_missing_are_registered_later(
    presence: Slow, residents: LocalAccounts
) -> None:
    presence.broken = True
    assert await residents.register(ALICE) == []
    residents.attach(ALICE, NullRecipient(), 0.0)
    with pytest.raises(RedisConnectionError):
        await residents.register_missing()
    presence.broken = False
    assert await residents.register_missing() == [ALICE]
    assert await residents.register_missing() == []
    assert await where(presence, ALICE) == [HERE]


async def test_a_departure_that_failed_is_repeated(presence: Slow, residents: LocalAccounts) -> None:
    await residents.register(ALICE)
    presence.broken = True
    with pytest.raises(RedisConnectionError):
        await residents.leave([ALICE])
    assert residents.awaiting_leave() == [ALICE]
    presence.broken = False
    await residents.leave([ALICE])
    assert await where(presence, ALICE) == []


async def test_who_comes_back_after_a_departure_that_failed_is_registered_once_more(
    presence: Slow, residents: LocalAccounts
) -> None:
    """Redis may carry the departure out after all."""
    await residents.register(ALICE)
    presence.broken = True
    with pytest.raises(RedisConnectionError):
        await residents.leave([ALICE])
    presence.broken = False
    await residents.register(ALICE)
    residents.attach(ALICE, NullRecipient(), 0.0)
    await presence.leave(HERE, [ALICE])
    assert await residents.register_missing() == [ALICE]
    assert await where(presence, ALICE) == [HERE]


async def test_all_are_registered_again_in_portions(
    presence: Slow, residents: LocalAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.presence.local_accounts._BATCH_ACCOUNTS", 3)
    accounts = [AccountId(number) for number in range(1, 9)]
    for account in accounts:
        residents.attach(account, NullRecipient(), 0.0)
    residents.forget()
    registered: list[AccountId] = []
    while portion := await residents.register_missing():
        assert len(portion) <= 3
        registered += portion
    assert sorted(registered) == accounts
    assert await where(presence, ALICE) == [HERE]
