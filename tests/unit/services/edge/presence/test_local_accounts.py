"""Tests local accounts and their presence. The calls to Redis happen in any order."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from services.edge.canonical.events import Event
from services.edge.dialects.base import ConnectionInfo
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.dialects.ourchat_v0 import OurChatV0
from services.edge.journal import DeliveryRecord
from services.edge.presence.announcer import PresenceAnnouncer
from services.edge.presence.local_accounts import LocalAccounts, Recipient
from shared.contract.audit import DeliveryStage
from shared.contract.auth import Revocation
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.presence.store import Presence
from shared.settings.limits import LimitsSettings
from tests.support.servers import ValkeyServer

HERE, THERE = NodeId("here"), NodeId("there")
ALICE, BOB = AccountId(1), AccountId(2)


class NullRecipient(Recipient):
    """A recipient that does nothing."""

    dialect = OurChatV0(ConnectionInfo(LimitsSettings(), "http://localhost"))
    shows_pending_requests = False
    record: DeliveryRecord | None = None
    number = 0

    def keep_record(self, record: DeliveryRecord | None) -> None: ...

    def delivery_stage(self, chat: ChatId, index: int, time: int) -> DeliveryStage | None: ...

    def deliver(self, messages: Sequence[EncodedMessage]) -> None: ...

    def notify(self, event: Event) -> None: ...

    def notify_ephemeral(self, event: Event) -> bool:
        return False

    def catch_up(self, chat: ChatId, fresh: int) -> None: ...

    def close(self, code: int, reason: str) -> None: ...

    def revoked(self, revocation: Revocation) -> None: ...

    async def confirm_all(self) -> None: ...

    async def has_arrived(self) -> bool:
        return True


class GatedPresence(Presence):
    """A presence whose calls wait for the gate before Redis carries them out, or `after` that, or are `broken`."""

    def __init__(self, server: ValkeyServer) -> None:
        super().__init__(server.settings("edge"))
        self.gate = asyncio.Event()
        self.gate.set()
        self.after = False
        self.broken = False
        self.calls: list[str] = []
        self.called = asyncio.Event()

    def block(self) -> None:
        self.gate.clear()
        self.called.clear()

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
        if not self.after:
            await self.gate.wait()
        if self.broken:
            raise RedisConnectionError

    async def _pass_after(self) -> None:
        if self.after:
            await self.gate.wait()


@pytest.fixture
async def presence(valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GatedPresence]:
    monkeypatch.setattr("shared.presence.store._TRUST_SECONDS", 0.0)
    presence = GatedPresence(valkey_server)
    await presence.beat(HERE, 10.0)
    yield presence
    await presence.close()


@pytest.fixture
def local_accounts(presence: GatedPresence) -> LocalAccounts:
    return LocalAccounts(HERE, presence, LimitsSettings(), silent_announcer(HERE))


def silent_announcer(node: NodeId) -> PresenceAnnouncer:
    """Returns an announcer that reaches no other process."""

    async def publish(subject: str, payload: bytes) -> None: ...

    return PresenceAnnouncer(publish, node, 10.0)


async def nodes_of(presence: Presence, account: AccountId) -> list[NodeId]:
    nodes = (await presence.lookup([account])).nodes
    assert nodes is not None
    return list(nodes.get(account, ()))


async def test_registering_returns_the_account_s_other_nodes(
    presence: GatedPresence, local_accounts: LocalAccounts
) -> None:
    await presence.join(THERE, [ALICE])
    assert await local_accounts.register(ALICE) == [THERE]
    assert await local_accounts.register(BOB) == []
    assert sorted(await nodes_of(presence, ALICE)) == [HERE, THERE]


async def test_connections_of_an_account_share_its_rate_limit(local_accounts: LocalAccounts) -> None:
    first, second = NullRecipient(), NullRecipient()
    local = local_accounts.attach(ALICE, first, 0.0)
    assert local_accounts.attach(ALICE, second, 5.0) is local
    assert local.recipients == (first, second)
    assert not local_accounts.detach(local, first)
    assert local_accounts.awaiting_leave() == []
    assert local_accounts.detach(local, second)
    assert local_accounts.awaiting_leave() == [ALICE]
    assert len(local_accounts) == 0


async def test_only_departed_accounts_leave_presence(presence: GatedPresence, local_accounts: LocalAccounts) -> None:
    for account in (ALICE, BOB):
        await local_accounts.register(account)
        local_accounts.attach(account, NullRecipient(), 0.0)
    alice = local_accounts.by_account[ALICE]
    local_accounts.detach(alice, alice.recipients[0])
    departed = local_accounts.awaiting_leave()
    await local_accounts.leave([*departed, BOB])
    assert await nodes_of(presence, ALICE) == []
    assert await nodes_of(presence, BOB) == [HERE]
    assert local_accounts.awaiting_leave() == []


async def test_an_account_that_registers_and_is_never_attached_leaves_presence(
    presence: GatedPresence, local_accounts: LocalAccounts
) -> None:
    await local_accounts.register(ALICE)
    assert local_accounts.awaiting_leave() == [ALICE]
    await local_accounts.leave(local_accounts.awaiting_leave())
    assert await nodes_of(presence, ALICE) == []


@pytest.mark.parametrize("after", [False, True])
async def test_an_account_that_comes_back_while_it_leaves_stays_in_presence(
    presence: GatedPresence, local_accounts: LocalAccounts, after: bool
) -> None:
    await local_accounts.register(ALICE)
    presence.block()
    presence.after = after
    leaving = asyncio.create_task(local_accounts.leave([ALICE]))
    await presence.called.wait()
    joining = asyncio.create_task(local_accounts.register(ALICE))
    await asyncio.sleep(0)
    assert presence.calls == ["join", "leave"]  # the second join must wait for the leave
    presence.gate.set()
    await asyncio.gather(leaving, joining)
    local_accounts.attach(ALICE, NullRecipient(), 0.0)
    assert await nodes_of(presence, ALICE) == [HERE]
    assert local_accounts.awaiting_leave() == []


async def test_an_account_that_comes_back_and_departs_meanwhile_leaves_later(
    presence: GatedPresence, local_accounts: LocalAccounts
) -> None:
    recipient = NullRecipient()
    await local_accounts.register(ALICE)
    presence.block()
    leaving = asyncio.create_task(local_accounts.leave([ALICE]))
    await presence.called.wait()
    local = local_accounts.attach(ALICE, recipient, 0.0)
    local_accounts.detach(local, recipient)
    presence.gate.set()
    await leaving
    assert local_accounts.awaiting_leave() == [ALICE]


async def test_an_account_does_not_leave_presence_while_it_joins(
    presence: GatedPresence, local_accounts: LocalAccounts
) -> None:
    await local_accounts.register(ALICE)
    presence.block()
    joining = asyncio.create_task(local_accounts.register(ALICE))
    await presence.called.wait()
    await local_accounts.leave(local_accounts.awaiting_leave())
    presence.gate.set()
    await joining
    assert await nodes_of(presence, ALICE) == [HERE]
    assert presence.calls == ["join", "join"]
    assert local_accounts.awaiting_leave() == [ALICE]


async def test_without_redis_accounts_are_registered_later(
    presence: GatedPresence, local_accounts: LocalAccounts
) -> None:
    presence.broken = True
    assert await local_accounts.register(ALICE) == []
    local_accounts.attach(ALICE, NullRecipient(), 0.0)
    with pytest.raises(RedisConnectionError):
        await local_accounts.register_missing()
    presence.broken = False
    assert await local_accounts.register_missing() == [ALICE]
    assert await local_accounts.register_missing() == []
    assert await nodes_of(presence, ALICE) == [HERE]


async def test_a_beat_while_an_account_logs_in_without_redis_does_not_forget_it(presence: GatedPresence) -> None:
    """If the beat forgot the account, it would be on this node but would never get a message."""
    announcing, announced = asyncio.Event(), asyncio.Event()

    async def publish(subject: str, payload: bytes) -> None:
        announcing.set()
        await announced.wait()

    local_accounts = LocalAccounts(HERE, presence, LimitsSettings(), PresenceAnnouncer(publish, HERE, 10.0))
    presence.broken = True
    registering = asyncio.create_task(local_accounts.register(ALICE))
    await announcing.wait()
    presence.broken = False
    assert await local_accounts.register_missing() == []
    assert local_accounts.has_unregistered
    announced.set()
    await registering
    local_accounts.attach(ALICE, NullRecipient(), 0.0)
    assert await local_accounts.register_missing() == [ALICE]
    assert await nodes_of(presence, ALICE) == [HERE]


async def test_lookups_of_a_tick_share_a_request(presence: GatedPresence, local_accounts: LocalAccounts) -> None:
    await presence.join(THERE, [ALICE])
    requested: list[Collection[AccountId]] = []
    look_up = presence.nodes

    async def counted(accounts: Collection[AccountId]) -> dict[AccountId, tuple[NodeId, ...]]:
        requested.append(accounts)
        return await look_up(accounts)

    presence.nodes = counted  # type: ignore[method-assign]
    assert await asyncio.gather(*map(local_accounts.other_nodes, (ALICE, BOB))) == [[THERE], []]
    assert requested == [[ALICE, BOB]]


async def test_a_failed_leave_is_retried(presence: GatedPresence, local_accounts: LocalAccounts) -> None:
    await local_accounts.register(ALICE)
    presence.broken = True
    with pytest.raises(RedisConnectionError):
        await local_accounts.leave([ALICE])
    assert local_accounts.awaiting_leave() == [ALICE]
    presence.broken = False
    await local_accounts.leave([ALICE])
    assert await nodes_of(presence, ALICE) == []


async def test_an_account_that_comes_back_after_a_failed_leave_is_registered_again(
    presence: GatedPresence, local_accounts: LocalAccounts
) -> None:
    """Redis may carry out the failed leave later."""
    await local_accounts.register(ALICE)
    presence.broken = True
    with pytest.raises(RedisConnectionError):
        await local_accounts.leave([ALICE])
    presence.broken = False
    await local_accounts.register(ALICE)
    local_accounts.attach(ALICE, NullRecipient(), 0.0)
    await presence.leave(HERE, [ALICE])
    assert await local_accounts.register_missing() == [ALICE]
    assert await nodes_of(presence, ALICE) == [HERE]


async def test_all_accounts_are_registered_again_in_batches(
    presence: GatedPresence, local_accounts: LocalAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.presence.local_accounts._BATCH_ACCOUNTS", 3)
    numbers = [AccountId(number) for number in range(1, 9)]
    for account in numbers:
        local_accounts.attach(account, NullRecipient(), 0.0)
    local_accounts.forget()
    registered: list[AccountId] = []
    while batch := await local_accounts.register_missing():
        assert len(batch) <= 3
        registered += batch
    assert sorted(registered) == numbers
    assert await nodes_of(presence, ALICE) == [HERE]


async def test_a_comparison_waits_for_calls_and_delays_others(
    presence: GatedPresence, local_accounts: LocalAccounts
) -> None:
    await local_accounts.register(ALICE)
    local_accounts.attach(ALICE, NullRecipient(), 0.0)
    presence.block()
    joining = asyncio.create_task(local_accounts.register(BOB))
    await presence.called.wait()
    comparing = asyncio.create_task(local_accounts.compare())
    await asyncio.sleep(0.05)
    assert not comparing.done()
    later = asyncio.create_task(local_accounts.register(AccountId(3)))
    leaving = asyncio.create_task(local_accounts.leave([]))
    await asyncio.sleep(0.05)
    assert presence.calls == ["join", "join"]
    presence.gate.set()
    assert await comparing == []
    await asyncio.gather(joining, later, leaving)
    assert presence.calls == ["join", "join", "join"]


async def test_a_comparison_registers_what_presence_lacks_and_removes_the_rest(
    presence: GatedPresence, local_accounts: LocalAccounts
) -> None:
    """All other accounts of the shard stay unchanged."""
    numbers = [AccountId(number) for number in range(1, 100)]
    for account in numbers:
        await local_accounts.register(account)
        local_accounts.attach(account, NullRecipient(), 0.0)
    assert await local_accounts.compare() == []
    await presence.leave(HERE, [ALICE, BOB])
    await presence.join(HERE, [AccountId(1_000)])
    assert sorted(await local_accounts.compare()) == [ALICE, BOB]
    assert await nodes_of(presence, ALICE) == await nodes_of(presence, BOB) == [HERE]
    assert await nodes_of(presence, AccountId(1_000)) == []
    assert await local_accounts.compare() == []


async def test_a_difference_of_equal_size_is_found(presence: GatedPresence, local_accounts: LocalAccounts) -> None:
    """The accounts 1, 17, 33 and 49 are in the same shard, and the sums 1 + 49 and 17 + 33 are equal."""
    for account in (AccountId(1), AccountId(49)):
        await local_accounts.register(account)
        local_accounts.attach(account, NullRecipient(), 0.0)
    await presence.leave(HERE, [AccountId(1), AccountId(49)])
    await presence.join(HERE, [AccountId(17), AccountId(33)])
    assert sorted(await local_accounts.compare()) == [1, 49]


async def test_accounts_that_are_about_to_leave_stay_in_presence(
    presence: GatedPresence, local_accounts: LocalAccounts
) -> None:
    """The read state of these accounts is not committed yet."""
    await local_accounts.register(ALICE)
    assert await local_accounts.compare() == []
    assert await nodes_of(presence, ALICE) == [HERE]
    await local_accounts.leave(local_accounts.awaiting_leave())
    assert await local_accounts.compare() == []
    assert await nodes_of(presence, ALICE) == []
