"""The members drill: accounts join a group in which others post, while processes are killed.

Then some delete their accounts, some leave, and the owner removes some. Requests of the members are sent over NATS,
with the permissions of an edge. They are repeated until they are carried out.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from prometheus_client import CollectorRegistry

from dragoman_client.errors import ClientError
from shared.bus.client import Bus
from shared.contract.auth import DeleteAccount
from shared.contract.contacts import AnswerFriendship, RequestFriendship
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.members import AddMember, EndMembership
from shared.contract.routes import Route
from tests.drills.archive import broker
from tests.drills.client_profiles import V2
from tests.drills.device import DrillClient
from tests.drills.drill import Drill
from tests.drills.record_index import RecordIndex
from tests.drills.recorded_connection import dial
from tests.drills.records import Deleted, Departed, Joined
from tests.support.cluster import Cluster

DELETED, LEAVING, REMOVED = 4, 2, 2
NEWCOMERS = DELETED + LEAVING + REMOVED + 2
_STAY_SECONDS = 4.0
_SLACK_SECONDS = 1.0
"""After a deletion or a departure, messages that were sent before may still arrive for this time."""
_CLOSING_SECONDS = 5.0
_PAUSE_SECONDS = 0.3
_TEMPORARY = (ErrorCode.UNAVAILABLE, ErrorCode.RATE_LIMITED, ErrorCode.INTERNAL)


async def change_members(cluster: Cluster, drill: Drill, every: float) -> None:
    """Makes every newcomer join the largest group.

    The first newcomers then delete their accounts, the next ones leave the group, and the last ones are removed.
    """
    bus = Bus(broker(cluster.data, "edge"), "edge", CollectorRegistry())
    await bus.start()
    population = drill.population
    chat = max(population.members, key=lambda number: len(population.members[number]))
    visits = _Visits(bus, drill, chat, population.devices[0].user.account.number)
    try:
        async with asyncio.TaskGroup() as group:
            for number, device in enumerate(population.newcomers):
                await asyncio.sleep(every)
                group.create_task(visits.visit(device, number))
    finally:
        await bus.stop()


class _Visits:
    """The memberships of newcomers in one chat."""

    def __init__(self, bus: Bus, drill: Drill, chat: int, owner: int) -> None:
        self._bus = bus
        self._drill = drill
        self._chat = ChatId(chat)
        self._owner = AccountId(owner)

    async def visit(self, device: DrillClient, number: int) -> None:
        """Makes the newcomer with this number join, stay for a while, and depart."""
        account = AccountId(device.user.account.number)
        await self._join(device, account)
        await asyncio.sleep(_STAY_SECONDS)
        if number < DELETED:
            await self._delete(device, account)
        elif number < DELETED + LEAVING:
            await self._end_membership(device, account, actor=account)
        elif number < DELETED + LEAVING + REMOVED:
            await self._end_membership(device, account, actor=self._owner)

    async def _join(self, device: DrillClient, account: AccountId) -> None:
        bus, owner, chat = self._bus, self._owner, self._chat
        await _carry_out(bus, RequestFriendship.route, RequestFriendship(owner, "", actor=account))
        await _carry_out(bus, AnswerFriendship.route, AnswerFriendship(account, True, actor=owner))
        began = time.monotonic()
        self._drill.population.members[chat] |= {account}
        await _carry_out(bus, AddMember.route, AddMember(chat, account, actor=owner))
        self._drill.records.append(Joined(time.monotonic(), began, account, chat))
        device.user.chats.append(chat)

    async def _end_membership(self, device: DrillClient, account: AccountId, actor: AccountId) -> None:
        device.user.chats.remove(self._chat)
        began = time.monotonic()
        await _carry_out(self._bus, EndMembership.route, EndMembership(self._chat, account, actor=actor))
        self._drill.records.append(Departed(time.monotonic(), began, account, self._chat))

    async def _delete(self, device: DrillClient, account: AccountId) -> None:
        device.stopped = device.retired = True
        began = time.monotonic()
        await _carry_out(self._bus, DeleteAccount.route, DeleteAccount(account))
        self._drill.records.append(Deleted(time.monotonic(), began, account))
        await asyncio.sleep(_CLOSING_SECONDS + _SLACK_SECONDS)
        await _try_login(self._drill, device)


async def _carry_out(bus: Bus, route: Route[Any, Any], request: Any) -> None:
    """Repeats the request until it is accepted. A rejection because it was carried out before also counts."""
    while True:
        try:
            await bus.request(route, request)
            return
        except RequestError as error:
            if error.failure.code not in _TEMPORARY:
                return
        await asyncio.sleep(_PAUSE_SECONDS)


async def _try_login(drill: Drill, device: DrillClient) -> None:
    """Tries to log in. A login that succeeds is recorded, like any other."""
    for name, url in drill.edges:
        with suppress(ClientError, TimeoutError):
            connection = await dial(url + V2.path, drill.records.append, device.name, name)
            with suppress(ClientError):
                await connection.request(V2.login(device.user.account))
            await connection.close()


def carried_out(record_index: RecordIndex) -> Iterator[str]:
    """Checks that all newcomers have joined, that some have left or were removed, and that some are deleted.

    A deleted account must be disconnected and must not be able to log in.
    """
    counts = len(record_index.joined), len(record_index.departed), len(record_index.deleted)
    if counts != (NEWCOMERS, LEAVING + REMOVED, DELETED):
        yield "only {} joins, {} departures and {} deletions were carried out".format(*counts)
    for number, opened in record_index.connections.items():
        if (deleted := record_index.deleted.get(opened.account)) is None:
            continue
        if opened.at > deleted.at + _SLACK_SECONDS:
            yield f"{opened.device} was deleted at {deleted.at:.2f}, and logged in at {opened.at:.2f}"
        elif record_index.end_of(number) > deleted.at + _CLOSING_SECONDS:
            yield f"{opened.device} was deleted at {deleted.at:.2f}, and stayed connected to {opened.edge}"


def only_while_member(record_index: RecordIndex) -> Iterator[str]:
    """No account gets messages from outside its membership.

    It gets none that was acknowledged before its join was requested, and none that was sent after its departure or
    deletion.
    """
    for one in record_index.received:
        account, sent = record_index.connections[one.connection].account, record_index.sent.get(one.text)
        acks = record_index.acked.get(one.text)
        joined = record_index.joined.get((account, one.chat))
        if joined and acks and acks[0].at < joined.began:
            yield f"account {account} joined {one.chat} at {joined.began:.2f}, and got {one.text} from {acks[0].at:.2f}"
        gone = record_index.deleted.get(account) or record_index.departed.get((account, one.chat))
        if gone and sent and sent.at > gone.at + _SLACK_SECONDS:
            yield f"account {account} was gone from {one.chat} at {gone.at:.2f}, and got {one.text} from {sent.at:.2f}"
