"""The content of old messages is removed. The rest of their rows stays."""

import asyncio
import time

import pytest
from prometheus_client import CollectorRegistry

from services.message.app import expire_all, remove_expired
from services.message.metrics import MessageMetrics
from services.message.store import MessageStore
from services.message.store.revisions import Expired
from shared.contract.body import EXPIRED_BODY, unpack
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import Draft
from shared.contract.model import Body, Message, Text
from shared.database import Database
from tests.support.waiting import WAIT_SECONDS

ROOM = ChatId(1)
BODIES = [b"%d" % number for number in range(10)]


def drafts(*numbers: int) -> list[Draft]:
    return [Draft(AccountId(1), ROOM, Nonce(number), 2**62, BODIES[number]) for number in numbers]


async def messages(store: MessageStore) -> list[Message]:
    return await store.read(lambda snap: list(snap.messages([(ROOM, 1, 100)])))


async def test_old_messages_lose_their_body_alone(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.message.store.revisions._EXPIRED_ROWS", 3)
    store = MessageStore(database)
    for number in range(10):
        await store.post(drafts(number))
    before = await messages(store)
    assert await expire_all(store, before[7].time, 0) == 7
    after = await messages(store)
    assert [message.body for message in after] == [EXPIRED_BODY] * 7 + BODIES[7:]
    assert [message[:5] + message[6:] for message in map(fields, after)] == [
        message[:5] + message[6:] for message in map(fields, before)
    ]
    assert await expire_all(store, before[7].time, 0) == 0, "once"


async def test_one_step_takes_a_few_messages(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """So each transaction is short, even if many messages must be removed."""
    monkeypatch.setattr("services.message.store.revisions._EXPIRED_ROWS", 3)
    store = MessageStore(database)
    for number in range(5):
        await store.post(drafts(number))
    ids = [message.id for message in await messages(store)]
    assert await store.expire(2**62, 0) == Expired(ids[2], 3)
    assert [message.body for message in await messages(store)] == [EXPIRED_BODY] * 3 + BODIES[3:5]
    assert await store.expire(2**62, ids[2]) == Expired(ids[4], 2)
    assert await store.expire(2**62, ids[4]) == Expired(None, 0)


def fields(message: Message) -> tuple[object, ...]:
    """Returns the fields of a row. The sixth is `body`."""
    return tuple(getattr(message, name) for name in message.__struct_fields__)


async def test_a_repeated_message_is_recognised_after_it_expired(database: Database) -> None:
    store = MessageStore(database)
    first = await store.post(drafts(1))
    await expire_all(store, 2**62, 0)
    again = await store.post(drafts(1))
    assert again.duplicates == 1
    assert first.results[0] is not None
    assert again.results[0] is not None
    assert (again.results[0].index, again.results[0].id) == (first.results[0].index, first.results[0].id)


def test_an_expired_message_is_a_text_of_every_version() -> None:
    assert unpack(EXPIRED_BODY) == Body((Text("[消息已过期]"),), "")


class Stopped(Exception):
    pass


async def test_only_the_elected_replica_expires_messages(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.message.app._FIRST_EXPIRY_SECONDS", 0.0)
    monkeypatch.setattr("services.message.app._EXPIRY_SECONDS", 0.0)
    store, registry, expired = MessageStore(database), CollectorRegistry(), list[float | None]()
    await store.post(drafts(1))

    def is_elected() -> bool:
        expired.append(registry.get_sample_value("dragoman_message_expired_total"))
        if len(expired) == 3:
            raise Stopped
        return len(expired) == 2

    with pytest.raises(Stopped):
        await remove_expired(store, -1.0, is_elected, MessageMetrics(registry))
    assert expired == [0, 0, 1]


@pytest.mark.parametrize("migrated_url", ["postgresql"], indirect=True)
async def test_a_replica_with_a_clock_ahead_expires_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.message.app._FIRST_EXPIRY_SECONDS", 0.0)
    monkeypatch.setattr("services.message.app._EXPIRY_SECONDS", 0.0)
    store, elections = MessageStore(database), list[int]()
    await store.post(drafts(1))
    began = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: began + 10**18)

    def is_elected() -> bool:
        elections.append(len(elections))
        if len(elections) == 2:
            raise Stopped
        return True

    with pytest.raises(Stopped):
        await remove_expired(store, 30.0, is_elected, MessageMetrics(CollectorRegistry()))
    assert [message.body for message in await messages(store)] == [BODIES[1]]


async def test_a_failed_removal_is_repeated_soon(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.message.app._FIRST_EXPIRY_SECONDS", 0.0)
    attempts = list[int]()

    async def fail(*_: object) -> tuple[int | None, int]:
        attempts.append(len(attempts))
        if len(attempts) == 3:
            raise Stopped
        raise RequestError(ErrorCode.UNAVAILABLE, "the database does not answer")

    store = MessageStore(database)
    monkeypatch.setattr(store, "expire", fail)
    with pytest.raises(Stopped):
        async with asyncio.timeout(WAIT_SECONDS):
            await remove_expired(store, -1.0, lambda: True, MessageMetrics(CollectorRegistry()))
