"""A message's way through the whole service, on real servers."""

import asyncio

import msgspec
import pytest

from shared.contract.errors import ErrorCode
from shared.contract.ids import ChatId
from shared.contract.model import ProfileSummary, Role
from shared.settings import Message as MessageSettings
from shared.settings import Settings
from tests.support.servers import NatsServer, ValkeyServer
from tests.unit.services.message.running import (
    ANN,
    BOB,
    CEM,
    DAN,
    HALL,
    NORTH,
    ROOM,
    SOUTH,
    World,
    another,
    locked,
    service,
    settings_for,
    until,
)


@pytest.fixture
def on_both(nats_server: NatsServer, valkey_server: ValkeyServer, database_url: str) -> Settings:
    """Settings for SQLite, then for PostgreSQL."""
    return settings_for(nats_server, valkey_server, database_url)


async def test_a_message_reaches_every_member_once_and_nobody_else(world: World, on_both: Settings) -> None:
    await world.session.have(ROOM, ANN, BOB, CEM)
    await world.edges.join(NORTH, ANN, BOB, DAN)
    await world.edges.join(SOUTH, BOB)
    async with service(on_both):
        posted = await world.edges.say(ANN, ROOM, b"hello")
        await until(lambda: bool(world.edges.told(NORTH) and world.edges.told(SOUTH)))
    assert (posted.index, world.edges.told(NORTH), world.edges.told(SOUTH)) == (
        1, [(ROOM, 1, [ANN, BOB])], [(ROOM, 1, [BOB])],
    )  # fmt: skip
    (delivery,) = world.edges.deliveries(SOUTH)
    assert (delivery.message.id, delivery.message.time, delivery.message.body) == (posted.id, posted.time, b"hello")
    assert delivery.version == 3
    assert world.edges.told("all") == []


async def test_each_draft_of_a_request_has_its_own_answer(world: World, settings: Settings) -> None:
    await world.session.have(ROOM, ANN, BOB)
    await world.session.have(HALL, BOB)
    drafts = [
        world.edges.draft(ANN, ROOM),
        world.edges.draft(ANN, HALL),
        world.edges.draft(ANN, ChatId(999)),
        world.edges.draft(BOB, ROOM, seconds=-1),
        world.edges.draft(BOB, ROOM),
        world.edges.draft(BOB, ROOM, nonce=2**63),
    ]
    async with service(settings):
        results = await world.edges.post(*drafts)
    assert [posted and posted.index for posted in results.posted] == [1, None, None, None, 2, None]
    assert {position: failure.code for position, failure in results.failures.items()} == {
        1: ErrorCode.FORBIDDEN, 2: ErrorCode.NOT_FOUND, 3: ErrorCode.UNAVAILABLE, 5: ErrorCode.INVALID,
    }  # fmt: skip


async def test_a_chat_where_one_speaks_is_silent_for_the_others(world: World, settings: Settings) -> None:
    world.session.speaker = ANN
    await world.session.have(ROOM, ANN, BOB)
    await world.edges.join(SOUTH, BOB)
    async with service(settings):
        results = await world.edges.post(world.edges.draft(BOB, ROOM), world.edges.draft(ANN, ROOM))
        await until(lambda: bool(world.edges.told(SOUTH)))
    assert [posted and posted.index for posted in results.posted] == [None, 1]
    assert results.failures[0].code == ErrorCode.FORBIDDEN
    assert world.edges.told(SOUTH) == [(ROOM, 1, [BOB])]


async def test_a_repeated_nonce_is_told_again_with_the_same_index(world: World, settings: Settings) -> None:
    """As after the death of the replica that committed it: another one answers. The face is the one that comes with
    the repetition: it is not stored."""
    await world.session.have(ROOM, ANN, BOB)
    await world.edges.join(SOUTH, BOB)
    draft = msgspec.structs.replace(world.edges.draft(ANN, ROOM, b"once"), face=ProfileSummary("Ann", "u-1"))
    async with service(settings):
        first = await world.edges.post(draft)
        await world.edges.say(BOB, ROOM)
    async with service(settings):
        assert await world.edges.post(msgspec.structs.replace(draft, face=ProfileSummary("Ann II", "u-1"))) == first
        await until(lambda: len(world.edges.told(SOUTH)) == 3)
    assert world.edges.told(SOUTH) == [(ROOM, 1, [BOB]), (ROOM, 2, [BOB]), (ROOM, 1, [BOB])]
    assert len({envelope.replica for envelope in world.edges.envelopes[SOUTH]}) == 2
    assert [told.face for told in world.edges.deliveries(SOUTH)] == [
        ProfileSummary("Ann", "u-1"),
        None,
        ProfileSummary("Ann II", "u-1"),
    ]


async def test_while_the_database_is_blocked_nothing_is_answered_or_told(world: World, settings: Settings) -> None:
    await world.session.have(ROOM, ANN)
    await world.edges.join(NORTH, ANN)
    async with service(settings):
        await world.edges.say(ANN, ROOM)
        async with locked(settings):
            answer = asyncio.create_task(world.edges.say(ANN, ROOM))
            await asyncio.sleep(0.3)
            assert not answer.done()
            assert len(world.edges.told(NORTH)) == 1
        assert (await answer).index == 2
        await until(lambda: len(world.edges.told(NORTH)) == 2)


async def test_big_chats_are_broadcast_once(
    world: World, nats_server: NatsServer, valkey_server: ValkeyServer, tmp_path: object
) -> None:
    url = f"sqlite:///{tmp_path}/message.db"
    settings = settings_for(nats_server, valkey_server, url, MessageSettings(broadcast_members=3))
    await world.session.have(ROOM, ANN, BOB, CEM)
    await world.session.have(HALL, ANN, BOB)
    await world.edges.join(NORTH, ANN, BOB, CEM)
    async with service(settings):
        await world.edges.post(world.edges.draft(ANN, ROOM), world.edges.draft(ANN, HALL))
        await until(lambda: bool(world.edges.told("all") and world.edges.told(NORTH)))
    assert world.edges.told("all") == [(ROOM, 1, None)]
    assert world.edges.told(NORTH) == [(HALL, 1, [ANN, BOB])]
    assert world.edges.deliveries("all")[0].version == 3


async def test_a_change_of_membership_is_seen_by_the_next_message(world: World, settings: Settings) -> None:
    await world.session.have(ROOM, ANN, BOB)
    await world.edges.join(NORTH, ANN, BOB, CEM)
    async with service(settings):
        await world.edges.say(BOB, ROOM)
        await world.session.have(ROOM, CEM)
        await world.session.remove(ROOM, BOB)
        await world.edges.say(CEM, ROOM)
        refused = await world.edges.post(world.edges.draft(BOB, ROOM))
        await until(lambda: len(world.edges.told(NORTH)) == 2)
    assert world.edges.told(NORTH) == [(ROOM, 1, [ANN, BOB]), (ROOM, 2, [ANN, CEM])]
    assert refused.failures[0].code is ErrorCode.FORBIDDEN
    assert [asked.since for asked in world.session.asked] == [0, 2]


async def test_a_change_between_check_and_fan_out_is_followed(world: World, settings: Settings) -> None:
    """The message is committed while a member leaves and another one joins."""
    await world.session.have(ROOM, ANN, BOB)
    await world.edges.join(NORTH, ANN, BOB)
    await world.edges.join(SOUTH, CEM)
    async with service(settings):
        await world.edges.say(ANN, ROOM)
        async with locked(settings):
            answer = asyncio.create_task(world.edges.say(ANN, ROOM))
            await asyncio.sleep(0.2)  # it is checked, and waits for the database
            await world.session.have(ROOM, CEM)
            await world.session.remove(ROOM, BOB)
        await answer
        await until(lambda: bool(world.edges.told(SOUTH)))
    assert world.edges.told(NORTH) == [(ROOM, 1, [ANN, BOB]), (ROOM, 2, [ANN])]
    assert world.edges.told(SOUTH) == [(ROOM, 2, [CEM])]


async def test_without_presence_every_edge_is_told(
    world: World, settings: Settings, valkey_server: ValkeyServer
) -> None:
    await world.session.have(ROOM, ANN, BOB)
    await world.edges.join(NORTH, ANN)
    async with service(settings):
        await world.edges.say(ANN, ROOM)
        valkey_server.flush()
        await world.edges.say(ANN, ROOM)
        valkey_server.kill()
        await world.edges.say(ANN, ROOM)
        await world.session.change(ROOM, CEM, Role.MEMBER, 1, 1, tell=False)
        await asyncio.sleep(1.1)  # the second for which a roster is good that Redis does not confirm
        await world.edges.say(CEM, ROOM)
        await until(lambda: len(world.edges.told("all")) == 3)
    assert world.edges.told(NORTH) == [(ROOM, 1, [ANN])]
    assert world.edges.told("all") == [(ROOM, 2, [ANN, BOB]), (ROOM, 3, [ANN, BOB]), (ROOM, 4, [ANN, BOB, CEM])]


async def test_a_chat_whose_members_are_not_told_holds_nobody_up(world: World, settings: Settings) -> None:
    await world.session.have(ROOM, ANN)
    await world.session.have(HALL, ANN)
    async with service(settings), asyncio.TaskGroup() as group:
        await world.edges.say(ANN, ROOM)
        world.session.gate.clear()
        waiting = group.create_task(world.edges.post(world.edges.draft(ANN, HALL), world.edges.draft(ANN, ROOM)))
        await until(lambda: len(world.session.asked) == 2)
        assert (await world.edges.say(ANN, ROOM)).index == 2
        assert not waiting.done()
        world.session.gate.set()
        assert [posted and posted.index for posted in (await waiting).posted] == [1, 3]


async def test_without_session_only_the_chats_it_must_be_asked_about_are_refused(
    world: World, settings: Settings
) -> None:
    await world.session.have(ROOM, ANN)
    await world.session.have(HALL, ANN)
    async with service(settings):
        await world.edges.say(ANN, ROOM)
        world.session.away = True
        results = await world.edges.post(world.edges.draft(ANN, HALL), world.edges.draft(ANN, ROOM))
        assert [posted and posted.index for posted in results.posted] == [None, 2]
        assert results.failures[0].code is ErrorCode.UNAVAILABLE
        world.session.away = False
        assert (await world.edges.say(ANN, HALL)).index == 1


async def test_two_replicas_keep_one_order(world: World, on_both: Settings) -> None:
    """Many people in few chats at once: every chat's messages are told 1, 2, 3 … each, by whichever replica."""
    accounts, chats = [ANN, BOB, CEM, DAN], [ROOM, HALL]
    for chat in chats:
        await world.session.have(chat, *accounts)
    await world.edges.join(NORTH, *accounts)
    async with service(on_both), service(another(on_both)):
        await world.settled(2)

        async def talk(account: int) -> list[int]:
            said = [await world.edges.say(accounts[account], chats[turn % 2]) for turn in range(30)]
            return [posted.index for posted in said[::2]]

        indexes = await asyncio.gather(*(talk(account) for account in range(4)))
        await until(lambda: len(world.edges.told(NORTH)) == 120)
    assert all(mine == sorted(mine) for mine in indexes)
    for chat in chats:
        assert sorted(index for room, index, _ in world.edges.told(NORTH) if room == chat) == list(range(1, 61))
    for replica in {envelope.replica for envelope in world.edges.envelopes[NORTH]}:
        of_replica = [envelope for envelope in world.edges.envelopes[NORTH] if envelope.replica == replica]
        assert [envelope.counter for envelope in of_replica] == list(range(1, len(of_replica) + 1))
    assert len({envelope.replica for envelope in world.edges.envelopes[NORTH]}) == 2
