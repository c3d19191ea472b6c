"""A message passes through the whole service, on real servers."""

import asyncio

import msgspec
import pytest

from services.message.domain import SILENCED
from shared.clock import steady_ms
from shared.contract.errors import ErrorCode
from shared.contract.ids import ChatId
from shared.contract.model import ProfileSummary, Role
from shared.settings import Settings
from tests.support.servers import NatsServer, ValkeyServer
from tests.unit.services.message.environment import (
    ANN,
    BOB,
    CEM,
    DAN,
    HALL,
    NORTH,
    ROOM,
    SOUTH,
    MessageEnvironment,
    locked_database,
    running_replica,
    second_replica,
    settings_for,
    wait_until,
)


async def test_a_message_reaches_every_member_once_and_no_other_account(
    env: MessageEnvironment, settings: Settings
) -> None:
    await env.session.add_members(ROOM, ANN, BOB, CEM)
    await env.edges.join(NORTH, ANN, BOB, DAN)
    await env.edges.join(SOUTH, BOB)
    async with running_replica(settings):
        posted = await env.edges.send(ANN, ROOM, b"hello")
        await wait_until(lambda: bool(env.edges.received(NORTH) and env.edges.received(SOUTH)))
    assert (posted.index, env.edges.received(NORTH), env.edges.received(SOUTH)) == (
        1, [(ROOM, 1, [ANN, BOB])], [(ROOM, 1, [BOB])],
    )  # fmt: skip
    (delivery,) = env.edges.deliveries(SOUTH)
    assert (delivery.message.id, delivery.message.time, delivery.message.body) == (posted.id, posted.time, b"hello")
    assert delivery.version == 3
    assert env.edges.received("all") == []


async def test_each_draft_of_a_request_has_its_own_result(env: MessageEnvironment, settings: Settings) -> None:
    await env.session.add_members(ROOM, ANN, BOB)
    await env.session.add_members(HALL, BOB)
    drafts = [
        env.edges.draft(ANN, ROOM),
        env.edges.draft(ANN, HALL),
        env.edges.draft(ANN, ChatId(999)),
        env.edges.draft(BOB, ROOM, seconds=-1),
        env.edges.draft(BOB, ROOM),
        env.edges.draft(BOB, ROOM, nonce=2**63),
    ]
    async with running_replica(settings):
        results = await env.edges.post(*drafts)
    assert [posted and posted.index for posted in results.posted] == [1, None, None, None, 2, None]
    assert {position: failure.code for position, failure in results.failures.items()} == {
        1: ErrorCode.FORBIDDEN, 2: ErrorCode.NOT_FOUND, 3: ErrorCode.UNAVAILABLE, 5: ErrorCode.INVALID,
    }  # fmt: skip


async def test_a_read_only_chat_rejects_drafts_of_other_members(env: MessageEnvironment, settings: Settings) -> None:
    env.session.only_sender = ANN
    await env.session.add_members(ROOM, ANN, BOB)
    await env.edges.join(SOUTH, BOB)
    async with running_replica(settings):
        results = await env.edges.post(env.edges.draft(BOB, ROOM), env.edges.draft(ANN, ROOM))
        await wait_until(lambda: bool(env.edges.received(SOUTH)))
    assert [posted and posted.index for posted in results.posted] == [None, 1]
    assert results.failures[0].code == ErrorCode.FORBIDDEN
    assert env.edges.received(SOUTH) == [(ROOM, 1, [BOB])]


async def test_a_muted_member_is_rejected_from_the_next_version_on(env: MessageEnvironment, settings: Settings) -> None:
    await env.session.add_members(ROOM, ANN, BOB)
    async with running_replica(settings):
        await env.edges.send(BOB, ROOM)
        requests = len(env.session.requests)
        env.session.muted = {BOB: 2**53 - 1}
        await env.session.add_members(ROOM, CEM)
        rejected = await env.edges.post(env.edges.draft(BOB, ROOM), env.edges.draft(ANN, ROOM))
        again = await env.edges.post(env.edges.draft(BOB, ROOM))
        assert len(env.session.requests) == requests + 1, "one for the new version, none for the messages"
        env.session.muted = {}
        await env.session.add_members(ROOM, DAN)
        accepted = await env.edges.post(env.edges.draft(BOB, ROOM))
    assert rejected.failures == {0: SILENCED}
    assert again.failures == {0: SILENCED}
    assert accepted.failures == {}


async def test_a_repeated_nonce_is_delivered_again_with_the_same_index(
    env: MessageEnvironment, settings: Settings
) -> None:
    """The replica that committed the message dies, and another replica gets the repeated request.

    The profile summary is not stored, so the message is delivered with the summary of the repeated request.
    """
    await env.session.add_members(ROOM, ANN, BOB)
    await env.edges.join(SOUTH, BOB)
    draft = msgspec.structs.replace(env.edges.draft(ANN, ROOM, b"once"), face=ProfileSummary("Ann", "u-1"))
    async with running_replica(settings):
        first = await env.edges.post(draft)
        await env.edges.send(BOB, ROOM)
    async with running_replica(settings):
        repeated = await env.edges.post(msgspec.structs.replace(draft, face=ProfileSummary("Ann II", "u-1")))
        assert repeated == msgspec.structs.replace(first, again=[0])
        await wait_until(lambda: len(env.edges.received(SOUTH)) == 3)
    assert env.edges.received(SOUTH) == [(ROOM, 1, [BOB]), (ROOM, 2, [BOB]), (ROOM, 1, [BOB])]
    assert len({batch.replica for batch in env.edges.batches[SOUTH]}) == 2
    assert [delivery.face for delivery in env.edges.deliveries(SOUTH)] == [
        ProfileSummary("Ann", "u-1"),
        None,
        ProfileSummary("Ann II", "u-1"),
    ]


async def test_nothing_is_answered_or_delivered_before_the_commit(env: MessageEnvironment, settings: Settings) -> None:
    await env.session.add_members(ROOM, ANN)
    await env.edges.join(NORTH, ANN)
    async with running_replica(settings):
        await env.edges.send(ANN, ROOM)
        async with locked_database(settings):
            answer = asyncio.create_task(env.edges.send(ANN, ROOM))
            await asyncio.sleep(0.3)
            assert not answer.done()
            assert len(env.edges.received(NORTH)) == 1
        assert (await answer).index == 2
        await wait_until(lambda: len(env.edges.received(NORTH)) == 2)


async def test_a_membership_change_between_check_and_fan_out_applies(
    env: MessageEnvironment, settings: Settings
) -> None:
    """The message is committed while a member leaves and another one joins."""
    await env.session.add_members(ROOM, ANN, BOB)
    await env.edges.join(NORTH, ANN, BOB)
    await env.edges.join(SOUTH, CEM)
    async with running_replica(settings):
        await env.edges.send(ANN, ROOM)
        async with locked_database(settings):
            answer = asyncio.create_task(env.edges.send(ANN, ROOM))
            await asyncio.sleep(0.2)  # meanwhile, the request is checked, and then waits for the database
            await env.session.add_members(ROOM, CEM)
            await env.session.remove_member(ROOM, BOB)
        await answer
        await wait_until(lambda: bool(env.edges.received(SOUTH)))
    assert env.edges.received(NORTH) == [(ROOM, 1, [ANN, BOB]), (ROOM, 2, [ANN])]
    assert env.edges.received(SOUTH) == [(ROOM, 2, [CEM])]


async def test_without_presence_messages_are_broadcast(
    env: MessageEnvironment, settings: Settings, valkey_server: ValkeyServer
) -> None:
    await env.session.add_members(ROOM, ANN, BOB)
    await env.edges.join(NORTH, ANN)
    async with running_replica(settings):
        await env.edges.send(ANN, ROOM)
        valkey_server.flush()
        await env.edges.send(ANN, ROOM)
        valkey_server.kill()
        await env.edges.send(ANN, ROOM)
        await env.session.change_member(ROOM, CEM, Role.MEMBER, 1, 1, publish=False)
        await asyncio.sleep(1.1)  # without Redis, a member list counts as fresh for one second
        await env.edges.send(CEM, ROOM)
        await wait_until(lambda: len(env.edges.received("all")) == 3)
    assert env.edges.received(NORTH) == [(ROOM, 1, [ANN])]
    assert env.edges.received("all") == [(ROOM, 2, [ANN, BOB]), (ROOM, 3, [ANN, BOB]), (ROOM, 4, [ANN, BOB, CEM])]


async def test_loading_a_member_list_delays_no_other_request(env: MessageEnvironment, settings: Settings) -> None:
    await env.session.add_members(ROOM, ANN)
    await env.session.add_members(HALL, ANN)
    async with running_replica(settings), asyncio.TaskGroup() as group:
        await env.edges.send(ANN, ROOM)
        env.session.gate.clear()
        waiting = group.create_task(env.edges.post(env.edges.draft(ANN, HALL), env.edges.draft(ANN, ROOM)))
        await wait_until(lambda: len(env.session.requests) == 2)
        assert (await env.edges.send(ANN, ROOM)).index == 2
        assert not waiting.done()
        env.session.gate.set()
        assert [posted and posted.index for posted in (await waiting).posted] == [1, 3]


async def test_without_session_only_chats_without_a_fresh_member_list_are_rejected(
    env: MessageEnvironment, settings: Settings
) -> None:
    await env.session.add_members(ROOM, ANN)
    await env.session.add_members(HALL, ANN)
    async with running_replica(settings):
        await env.edges.send(ANN, ROOM)
        env.session.unavailable = True
        results = await env.edges.post(env.edges.draft(ANN, HALL), env.edges.draft(ANN, ROOM))
        assert [posted and posted.index for posted in results.posted] == [None, 2]
        assert results.failures[0].code is ErrorCode.UNAVAILABLE
        env.session.unavailable = False
        assert (await env.edges.send(ANN, HALL)).index == 1


async def test_two_replicas_keep_one_order(
    env: MessageEnvironment, nats_server: NatsServer, valkey_server: ValkeyServer, database_url: str
) -> None:
    """Many senders post in a few chats at the same time. Both replicas deliver every index of each chat.

    The counters of a replica have no gap, except for an empty delivery batch. A batch is sent empty if it had to wait
    for half a second.
    """
    settings, accounts, chats = (
        settings_for(nats_server, valkey_server, database_url),
        [ANN, BOB, CEM, DAN],
        [ROOM, HALL],
    )
    for chat in chats:
        await env.session.add_members(chat, *accounts)
    await env.edges.join(NORTH, *accounts)
    async with running_replica(settings), running_replica(second_replica(settings)):
        await env.wait_for_replicas(2)

        async def send_messages(account: int) -> list[int]:
            posts = [await env.edges.send(accounts[account], chats[number % 2]) for number in range(30)]
            return [posted.index for posted in posts[::2]]

        indexes = await asyncio.gather(*(send_messages(account) for account in range(4)))
        await wait_until(lambda: len(env.edges.received(NORTH)) == 120)
    assert all(mine == sorted(mine) for mine in indexes)
    for chat in chats:
        assert sorted(index for to, index, _ in env.edges.received(NORTH) if to == chat) == list(range(1, 61))
    for replica in {batch.replica for batch in env.edges.batches[NORTH]}:
        counters, empty = (
            [batch.counter for batch in found[NORTH] if batch.replica == replica]
            for found in (env.edges.batches, env.edges.empty_batches)
        )
        assert counters == [one for one in range(1, counters[-1] + 1) if one not in empty]
    assert len({batch.replica for batch in env.edges.batches[NORTH]}) == 2


# Membership


@pytest.mark.parametrize("announce", [True, False])
async def test_a_new_member_receives_messages_whichever_way_its_version_is_known(
    env: MessageEnvironment, settings: Settings, announce: bool
) -> None:
    """The new version of the member list is known either by an announcement or by Redis, but not by both."""
    async with running_replica(settings):
        await env.wait_for_replicas()
        await env.session.add_members(ROOM, ANN, BOB)
        await env.edges.join(NORTH, ANN, BOB, CEM)
        assert (await env.edges.send(ANN, ROOM)).index == 1
        await env.session.change_member(ROOM, CEM, Role.MEMBER, 2, 2, publish=not announce, announce=announce)
        await env.edges.send(ANN, ROOM)
        await wait_until(lambda: len(env.edges.received(NORTH)) == 2)
    assert env.edges.received(NORTH)[1] == (ROOM, 2, [ANN, BOB, CEM])


async def test_a_chat_with_unknown_members_delays_no_other_of_the_request(
    env: MessageEnvironment, settings: Settings
) -> None:
    """Session does not reply about one chat. The message of this chat fails at once, and the edge repeats it."""
    async with running_replica(settings):
        await env.wait_for_replicas()
        await env.session.add_members(ROOM, ANN, BOB)
        await env.session.add_members(HALL, ANN, BOB)
        await env.edges.send(ANN, ROOM)
        env.session.gate.clear()
        async with asyncio.timeout(2.0):
            results = await env.edges.post(env.edges.draft(BOB, ROOM), env.edges.draft(ANN, HALL))
        assert results.posted[0] is not None
        assert (results.posted[1], results.failures[1].code) == (None, ErrorCode.UNAVAILABLE)
        env.session.gate.set()
        await env.edges.send(ANN, HALL)


async def test_a_removed_sender_receives_the_result_of_its_earlier_attempt(
    env: MessageEnvironment, settings: Settings
) -> None:
    async with running_replica(settings):
        await env.wait_for_replicas()
        await env.session.add_members(ROOM, ANN, BOB)
        draft = env.edges.draft(ANN, ROOM)
        first = await env.edges.post(draft)
        await env.session.remove_member(ROOM, ANN)
        again = await env.edges.post(draft, env.edges.draft(ANN, ROOM))
    assert again.posted == [first.posted[0], None]
    assert again.failures[1].code is ErrorCode.FORBIDDEN


@pytest.mark.parametrize("hours", [-1, 1])
async def test_the_clock_of_an_edge_may_be_wrong(
    env: MessageEnvironment, settings: Settings, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """The clock of the edge is an hour wrong.

    This does not affect deadlines and times of sending. A draft that is late by the edge's own clock is rejected.
    """
    ahead = hours * 3_600_000
    monkeypatch.setattr("shared.bus.request_sender.steady_ms", lambda: steady_ms() + ahead)
    async with running_replica(settings):
        await env.wait_for_replicas()
        await env.session.add_members(ROOM, ANN, BOB)
        drafts = [msgspec.structs.replace(draft, deadline=draft.deadline + ahead) for draft in (
            env.edges.draft(ANN, ROOM), env.edges.draft(ANN, ROOM, seconds=-1.0),
        )]  # fmt: skip
        results = await env.edges.post(*drafts)
    assert results.posted[0] is not None
    assert (results.posted[1], results.failures[1].code) == (None, ErrorCode.UNAVAILABLE)
