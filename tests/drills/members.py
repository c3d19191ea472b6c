"""The members drill: accounts join a group that others post to, and some delete their accounts, while processes are
killed. Joins and deletions go over the bus, with the grants of an edge, and are repeated until they are carried out."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from prometheus_client import CollectorRegistry

from clients.errors import ClientError
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.auth import DeleteAccount
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.session import AddMember, AnswerFriendship, RequestFriendship
from shared.contract.subjects import Route
from tests.drills.archive import broker
from tests.drills.client_profiles import V2
from tests.drills.cluster import Cluster
from tests.drills.device import DrillClient
from tests.drills.drill import Drill
from tests.drills.indexed_trial import IndexedTrial
from tests.drills.recorded_connection import dial
from tests.drills.records import Deleted, Joined

NEWCOMERS = 8
DELETED = 4
_STAY_SECONDS = 4.0
_SLACK_SECONDS = 1.0
"""After a deletion, messages sent before may still arrive."""
_CLOSING_SECONDS = 5.0
_PAUSE_SECONDS = 0.3
_TEMPORARY = (ErrorCode.UNAVAILABLE, ErrorCode.RATE_LIMITED, ErrorCode.INTERNAL)


async def change_members(cluster: Cluster, drill: Drill, every: float) -> None:
    """Every newcomer joins the largest group; the first ones then delete their accounts."""
    bus = Bus(broker(cluster.data, "edge"), "edge", CollectorRegistry())
    await bus.start()
    population = drill.population
    chat = max(population.members, key=lambda number: len(population.members[number]))
    owner = population.devices[0].user.account.number
    try:
        async with asyncio.TaskGroup() as group:
            for number, device in enumerate(population.newcomers):
                await asyncio.sleep(every)
                group.create_task(_visit(bus, drill, device, chat, owner, leaves=number < DELETED))
    finally:
        await bus.stop()


async def _visit(bus: Bus, drill: Drill, device: DrillClient, chat: int, owner: int, *, leaves: bool) -> None:
    population, account = drill.population, device.user.account.number
    await _carry_out(bus, subjects.REQUEST_FRIENDSHIP, RequestFriendship(AccountId(owner), "", AccountId(account)))
    await _carry_out(bus, subjects.ANSWER_FRIENDSHIP, AnswerFriendship(AccountId(account), True, AccountId(owner)))
    began = time.monotonic()
    population.members[chat] |= {account}
    await _carry_out(bus, subjects.ADD_MEMBER, AddMember(ChatId(chat), AccountId(account), AccountId(owner)))
    drill.records.append(Joined(time.monotonic(), began, account, chat))
    device.user.chats.append(chat)
    if not leaves:
        return
    await asyncio.sleep(_STAY_SECONDS)
    device.stopped = device.retired = True
    began = time.monotonic()
    await _carry_out(bus, subjects.DELETE_ACCOUNT, DeleteAccount(AccountId(account)))
    drill.records.append(Deleted(time.monotonic(), began, account))
    await asyncio.sleep(_CLOSING_SECONDS + _SLACK_SECONDS)
    await _try_login(drill, device)


async def _carry_out(bus: Bus, route: Route[Any, Any], request: Any) -> None:
    """Until it is accepted, or rejected since it was carried out before."""
    while True:
        try:
            await bus.request(route, request)
            return
        except RequestError as error:
            if error.failure.code not in _TEMPORARY:
                return
        await asyncio.sleep(_PAUSE_SECONDS)


async def _try_login(drill: Drill, device: DrillClient) -> None:
    """A login that succeeds is recorded, as any other."""
    for name, url in drill.edges:
        with suppress(ClientError, TimeoutError):
            connection = await dial(url + V2.path, drill.records.append, device.name, name)
            with suppress(ClientError):
                await connection.request(V2.login(device.user.account))
            await connection.close()


def carried_out(trial_index: IndexedTrial) -> Iterator[str]:
    """All newcomers have joined and some are deleted; a deleted account is disconnected and cannot log in."""
    joins, deletions = len(trial_index.joined), len(trial_index.deleted)
    if (joins, deletions) != (NEWCOMERS, DELETED):
        yield f"only {joins} joins and {deletions} deletions were carried out"
    for number, opened in trial_index.connections.items():
        if (deleted := trial_index.deleted.get(opened.account)) is None:
            continue
        if opened.at > deleted.at + _SLACK_SECONDS:
            yield f"{opened.device} was deleted at {deleted.at:.2f}, and logged in at {opened.at:.2f}"
        elif trial_index.end_of(number) > deleted.at + _CLOSING_SECONDS:
            yield f"{opened.device} was deleted at {deleted.at:.2f}, and stayed connected to {opened.edge}"


def only_while_member(trial_index: IndexedTrial) -> Iterator[str]:
    """No account gets a message that was acknowledged before its join was requested, or sent after its deletion."""
    for one in trial_index.received:
        account, sent = trial_index.connections[one.connection].account, trial_index.sent.get(one.text)
        acks = trial_index.acked.get(one.text)
        joined = trial_index.joined.get((account, one.chat))
        if joined and acks and acks[0].at < joined.began:
            yield f"account {account} joined {one.chat} at {joined.began:.2f}, and got {one.text} from {acks[0].at:.2f}"
        deleted = trial_index.deleted.get(account)
        if deleted and sent and sent.at > deleted.at + _SLACK_SECONDS:
            yield f"account {account} was deleted at {deleted.at:.2f}, and got {one.text} from {sent.at:.2f}"
