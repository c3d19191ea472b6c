"""Messages are changed on real servers.

Changes are checked by membership and role, and announced to the edges of the members.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from services.message.domain import ChangePermissions
from services.message.service import changes as use_cases
from services.message.service.load_members import require_member
from services.message.service.member_list import ChatMembers
from services.message.store import MessageStore, Revised
from shared.clock import now_ms
from shared.contract.body import pack_edited, unpack_segments
from shared.contract.edge import ChangeDelivery
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId, NodeId, Nonce
from shared.contract.message import (
    Changed,
    ChangeKind,
    ChangeMessage,
    EditText,
    GetChanges,
    GetHistory,
    PinMessage,
    React,
    RecallText,
)
from shared.contract.model import ProfileSummary, Role, Text
from shared.contract.receipts import FindReactors, Reactor, Reactors
from shared.contract.resume import Resume
from shared.contract.session import ChangeTimes
from shared.database import Database
from shared.presence.store import Presence, PresenceSnapshot
from shared.settings import Settings
from shared.settings.messages import MessageSettings
from tests.unit.services.message.environment import (
    ANN,
    BOB,
    CEM,
    NORTH,
    ROOM,
    SOUTH,
    MessageEnvironment,
    running_replica,
    wait_until,
)


async def change(
    env: MessageEnvironment,
    actor: AccountId,
    made: EditText | RecallText | React | PinMessage,
    index: int = 1,
    origin: tuple[NodeId, int] | None = None,
    face: ProfileSummary | None = None,
) -> Changed:
    request = ChangeMessage(ROOM, index, made, actor, origin, face)
    return await env.edges.bus.send(request, seconds=5.0, retry=True)


async def rejected(
    env: MessageEnvironment, actor: AccountId, made: EditText | RecallText | PinMessage | React
) -> ErrorCode:
    with pytest.raises(RequestError) as caught:
        await change(env, actor, made)
    return caught.value.failure.code


def edit(text: str, nonce: int = 77) -> EditText:
    return EditText(pack_edited((Text(text),)), Nonce(nonce))


def announced(env: MessageEnvironment, node: str) -> list[ChangeDelivery]:
    return [change for batch in env.edges.empty_batches[node] for change in batch.changes]


async def test_an_edit_reaches_the_edges_of_the_members(env: MessageEnvironment, settings: Settings) -> None:
    await env.session.add_members(ROOM, ANN, BOB)
    await env.session.add_members(ROOM, CEM, first_index=2)
    async with running_replica(settings):
        await env.edges.join(NORTH, ANN, CEM)
        await env.edges.join(SOUTH, BOB)
        await env.edges.send(ANN, ROOM)
        face = ProfileSummary("Ann", "u1")
        assert (await change(env, ANN, edit("new"), origin=(NORTH, 4), face=face)).rev == 1
        await wait_until(lambda: bool(announced(env, NORTH) and announced(env, SOUTH)))
        (north,), (south,) = announced(env, NORTH), announced(env, SOUTH)
        assert (north.recipients, south.recipients) == ([ANN], [BOB]), "not to members who may not see it"
        assert north.face == south.face == face
        assert (north.origin, north.change.kind, north.change.rev) == ((NORTH, 4), ChangeKind.EDIT, 1)
        assert unpack_segments(north.change.body) == (Text("new"),)
        assert (await change(env, ANN, edit("new"))).rev == 1
        history = await env.edges.bus.send(GetHistory(ROOM, -1, 1, actor=BOB), seconds=5.0)
        assert unpack_segments(history.messages[0].body) == (Text("new"),)
        await change(env, ANN, edit("newer", 78))
        await wait_until(lambda: len(announced(env, NORTH)) == len(announced(env, SOUTH)) == 2)
        assert announced(env, NORTH)[1].change.rev == 2, "the repeated edit is not announced again"


@pytest.mark.parametrize(
    "made", [edit("new"), RecallText(), React("🍎", on=True), PinMessage(on=True)], ids=lambda made: type(made).__name__
)
async def test_what_a_replica_committed_before_it_died_is_announced_when_the_edge_repeats_it(
    env: MessageEnvironment, settings: Settings, made: EditText | RecallText | React | PinMessage
) -> None:
    await env.session.add_members(ROOM, ANN, BOB)
    await env.session.change_member(ROOM, ANN, Role.OWNER, 1, 1)
    async with running_replica(settings):
        await env.edges.join(SOUTH, BOB)
        await env.edges.send(ANN, ROOM)
        database = Database(settings.database_url("message"))
        dead = MessageStore(database)
        request = ChangeMessage(ROOM, 1, made, ANN)
        committed = (await dead.change(request, ChangePermissions(1, 0, 0, leads=True, pins=True))).change
        assert (await change(env, ANN, made)).rev == 1
        await wait_until(lambda: bool(announced(env, SOUTH)))
        assert committed is not None
        assert [one.change for one in announced(env, SOUTH)] == [msgspec.structs.replace(committed, emoji="")]
        await database.close()


async def test_changes_at_once_are_announced_in_order(
    env: MessageEnvironment, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is kept although the lookup of recipients is faster for a later change."""
    look_up, latencies = Presence.lookup, iter([0.1, 0.08, 0.06, 0.04, 0.02])

    async def disturbed(
        presence: Presence, accounts: Iterable[AccountId] = (), chats: Iterable[ChatId] = ()
    ) -> PresenceSnapshot:
        await asyncio.sleep(next(latencies, 0) if accounts else 0)
        return await look_up(presence, accounts, chats)

    await env.session.add_members(ROOM, ANN, BOB)
    async with running_replica(settings):
        await env.edges.join(SOUTH, BOB)
        await env.edges.send(ANN, ROOM)
        monkeypatch.setattr(Presence, "lookup", disturbed)
        await asyncio.gather(*[change(env, ANN, React(emoji, on=True)) for emoji in "🍎🍊🍋🍌🍉"])
        await wait_until(lambda: len(announced(env, SOUTH)) == 5)
        assert [one.change.rev for one in announced(env, SOUTH)] == [1, 2, 3, 4, 5]


async def test_a_member_that_is_removed_before_its_turn_changes_nothing(
    env: MessageEnvironment, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, release, members = MessageStore.change, asyncio.Event(), list[AccountId]()

    async def slow(store: MessageStore, request: ChangeMessage, permissions: ChangePermissions) -> Revised:
        await release.wait()
        return await commit(store, request, permissions)

    def noted(member_list: ChatMembers, account: AccountId) -> tuple[int, int]:
        members.append(account)
        return require_member(member_list, account)

    monkeypatch.setattr(MessageStore, "change", slow)
    monkeypatch.setattr(use_cases, "require_member", noted)
    await env.session.add_members(ROOM, ANN, BOB)
    async with running_replica(settings):
        await env.edges.send(ANN, ROOM)
        first = asyncio.create_task(change(env, ANN, React("🍎", on=True)))
        await wait_until(lambda: ANN in members)
        second = asyncio.create_task(rejected(env, BOB, React("🍊", on=True)))
        await wait_until(lambda: BOB in members)
        await env.session.remove_member(ROOM, BOB)
        with pytest.raises(RequestError):
            await env.edges.bus.send(GetHistory(ROOM, -1, 1, actor=BOB), seconds=5.0)
        release.set()
        assert ((await first).rev, await second) == (1, ErrorCode.FORBIDDEN)


async def test_rights_to_recall_and_pin(env: MessageEnvironment, settings: Settings) -> None:
    await env.session.add_members(ROOM, ANN, BOB)
    await env.session.change_member(ROOM, CEM, Role.ADMIN, 1, 1)
    async with running_replica(settings):
        await env.edges.send(ANN, ROOM)
        assert await rejected(env, BOB, RecallText()) is ErrorCode.FORBIDDEN
        assert await rejected(env, AccountId(99), React("👍", on=True)) is ErrorCode.FORBIDDEN
        assert await rejected(env, ANN, PinMessage(on=True)) is ErrorCode.FORBIDDEN
        assert (await change(env, CEM, PinMessage(on=True))).rev == 1
        await env.session.change_member(ROOM, BOB, Role.ADMIN, 1, 1)
        assert (await change(env, BOB, RecallText())).rev == 2
        await env.session.change_member(ROOM, BOB, Role.MEMBER, 1, 1)
        await env.edges.send(ANN, ROOM)
        with pytest.raises(RequestError):
            await change(env, BOB, RecallText(), index=2)


async def test_a_muted_member_may_only_recall_and_repeat(env: MessageEnvironment, settings: Settings) -> None:
    await env.session.add_members(ROOM, ANN)
    async with running_replica(settings):
        await env.edges.send(ANN, ROOM)
        first = await change(env, ANN, edit("before"))
        env.session.muted = {ANN: 2**53 - 1}
        await env.session.add_members(ROOM, BOB)
        assert await rejected(env, ANN, React("👍", on=True)) is ErrorCode.FORBIDDEN
        with pytest.raises(RequestError):
            await change(env, ANN, edit("new", nonce=78))
        assert await change(env, ANN, edit("before")) == first
        assert (await change(env, ANN, RecallText())).rev == 2


async def test_a_blocked_member_does_not_recall_what_the_other_one_reports(
    env: MessageEnvironment, settings: Settings
) -> None:
    env.session.pair = ANN, BOB
    await env.session.add_members(ROOM, ANN, BOB)
    async with running_replica(settings):
        await env.edges.send(ANN, ROOM)
        env.session.muted = {ANN: 2**53 - 1}
        await env.session.add_members(ROOM, BOB)
        assert await rejected(env, ANN, RecallText()) is ErrorCode.FORBIDDEN
        env.session.muted = {}
        await env.session.add_members(ROOM, BOB)
        assert (await change(env, ANN, RecallText())).rev == 1


async def test_settings_end_edits_and_recalls(env: MessageEnvironment, settings: Settings) -> None:
    await env.session.add_members(ROOM, ANN)
    never = settings.model_copy(update={"message": MessageSettings(edit_seconds=0, recall_seconds=0)})
    async with running_replica(never):
        await env.edges.send(ANN, ROOM)
        assert await rejected(env, ANN, RecallText()) is ErrorCode.FORBIDDEN
        with pytest.raises(RequestError):
            await change(env, ANN, edit("new"))


async def test_reactors_are_shown_to_those_that_see_the_message(env: MessageEnvironment, settings: Settings) -> None:
    """Cem joined at the second message. Bob has left, but his reaction stays."""
    await env.session.add_members(ROOM, ANN, BOB)
    await env.session.change_member(ROOM, CEM, Role.MEMBER, 2, 2)

    async def reactors(index: int, actor: AccountId = ANN, **others: Any) -> Reactors:
        request = FindReactors(ROOM, index, actor=actor, **others)
        return await env.edges.bus.send(request, seconds=5.0)

    async with running_replica(settings):
        for _ in range(2):
            await env.edges.send(ANN, ROOM)
        for actor, index, emoji in ((ANN, 1, "👍"), (BOB, 1, "👍"), (BOB, 1, "🎉"), (CEM, 2, "👍")):
            await change(env, actor, React(emoji, on=True), index)
        assert await reactors(1) == Reactors([Reactor(ANN, ["👍"]), Reactor(BOB, ["🎉", "👍"])])
        assert await reactors(1, emoji="🎉") == Reactors([Reactor(BOB, ["🎉"])])
        assert await reactors(1, count=1) == Reactors([Reactor(ANN, ["👍"])], more=True)
        assert await reactors(1, count=1, after=ANN) == Reactors([Reactor(BOB, ["🎉", "👍"])])
        assert await reactors(1, count=0) == await reactors(1, count=1)
        assert await reactors(2, CEM) == Reactors([Reactor(CEM, ["👍"])])
        rejections: list[ErrorCode] = []
        for index, actor in ((1, CEM), (3, ANN), (0, ANN), (1, AccountId(99))):
            with pytest.raises(RequestError) as caught:
                await reactors(index, actor)
            rejections.append(caught.value.failure.code)
        assert rejections == [*[ErrorCode.NOT_FOUND] * 3, ErrorCode.FORBIDDEN]
        await env.session.change_member(ROOM, BOB, Role.LEFT, 1, 1)
        assert len((await reactors(1)).reactors) == 2
        with pytest.raises(RequestError):
            await reactors(1, BOB)


@pytest.mark.parametrize(
    ("operator", "group", "allowed"),
    [
        (60, None, 60), (60, 30, 30), (60, 90, 60), (60, 0, 0), (0, 30, 0),
    ],
)  # fmt: skip
async def test_a_group_shortens_the_times_of_its_senders(
    env: MessageEnvironment,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    operator: int,
    group: int | None,
    allowed: int,
) -> None:
    """The shorter time also holds for messages that were sent before. Admins can recall for as long as before."""
    await env.session.change_member(ROOM, CEM, Role.ADMIN, 1, 1)
    limited = settings.model_copy(update={"message": MessageSettings(edit_seconds=operator, recall_seconds=operator)})
    async with running_replica(limited):
        await env.session.add_members(ROOM, ANN)
        await env.edges.send(ANN, ROOM)
        sent_at = now_ms()
        env.session.change_times = ChangeTimes(group, group)
        await env.session.add_members(ROOM, BOB)
        monkeypatch.setattr(use_cases, "now_ms", lambda: sent_at + allowed * 1000 + 2_000)
        for late in (edit("late"), RecallText()):
            assert await rejected(env, ANN, late) is ErrorCode.FORBIDDEN
        if allowed:
            monkeypatch.setattr(use_cases, "now_ms", lambda: sent_at + allowed * 1000 - 20_000)
            assert (await change(env, ANN, edit("new"))).rev == 1
        assert (await change(env, CEM, RecallText())).rev == 1 + bool(allowed)


async def test_each_change_has_a_time_of_its_own(env: MessageEnvironment, settings: Settings) -> None:
    await env.session.add_members(ROOM, ANN, BOB)
    async with running_replica(settings):
        await env.edges.send(ANN, ROOM)
        env.session.change_times = ChangeTimes(edit=0)
        await env.session.add_members(ROOM, CEM)
        assert await rejected(env, ANN, edit("new")) is ErrorCode.FORBIDDEN
        env.session.change_times = ChangeTimes(recall=0)
        await env.session.remove_member(ROOM, CEM)
        assert await rejected(env, ANN, RecallText()) is ErrorCode.FORBIDDEN
        assert (await change(env, ANN, edit("new"))).rev == 1
        env.session.change_times = ChangeTimes()
        await env.session.remove_member(ROOM, BOB)
        assert (await change(env, ANN, RecallText())).rev == 2


async def test_pages_of_changes_and_of_the_history(
    env: MessageEnvironment, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(use_cases, "PAGE_CHANGES", 2)
    await env.session.add_members(ROOM, ANN, BOB)
    async with running_replica(settings):
        for _ in range(3):
            await env.edges.send(ANN, ROOM)
        for index in (1, 2, 3):
            await change(env, BOB, React("👍", on=True), index)
        first = await env.edges.bus.send(GetChanges(ROOM, 0, ANN), seconds=5.0)
        assert ([one.rev for one in first.changes], first.rev, first.more) == ([1, 2], 3, True)
        rest = await env.edges.bus.send(GetChanges(ROOM, 2, ANN), seconds=5.0)
        assert ([one.index for one in rest.changes], rest.more) == ([3], False)
        request = GetHistory(ROOM, -1, 2, actor=BOB, with_reactions=True)
        history = await env.edges.bus.send(request, seconds=5.0)
        assert history.rev == 3
        assert {index: (one.counts, one.mine) for index, one in history.reactions.items()} == {
            2: ({"👍": 1}, ["👍"]), 3: ({"👍": 1}, ["👍"]),
        }  # fmt: skip
        resumed = await env.edges.bus.send(Resume(ANN, {ROOM: 3}, 30, 20, revs={ROOM: 1}), seconds=5.0)
        ((revision,),) = [[one.revision for one in resumed.chats]]
        assert revision is not None
        assert (revision.rev, [one.rev for one in revision.changes]) == (3, [2, 3])
