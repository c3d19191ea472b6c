"""Tests outgoing webhooks of groups and their cursors on both databases."""

from collections.abc import Sequence
from functools import partial

import pytest

from services.session.store import outgoing_webhooks
from services.session.store.outgoing_webhooks import LeasedWebhook, NewOutgoingWebhook
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Role
from shared.contract.webhooks import (
    CreateOutgoingWebhook,
    DeleteOutgoingWebhook,
    ListOutgoingWebhooks,
    OutgoingWebhookView,
    ReplayOutgoingWebhook,
    WebhookState,
)
from shared.settings.limits import LimitsSettings
from tests.unit.services.session.store_harness import ANN, BOB, CEM, EVE, NOW, StoreHarness, rejection

HEAD = 7


async def create(store: StoreHarness, actor: AccountId, chat: ChatId, number: str) -> int:
    request = CreateOutgoingWebhook(chat, "Archive", "https://a.example/secret?key=1", actor=actor)
    make = partial(outgoing_webhooks.create, request=request, limits=store.limits, now=NOW)
    version, _ = await store.database.write(partial(make, new=NewOutgoingWebhook(number, "whsec_c2VjcmV0", HEAD)))
    return version


async def delete(store: StoreHarness, actor: AccountId, chat: ChatId, number: str) -> None:
    request = DeleteOutgoingWebhook(chat, number, actor=actor)
    await store.database.write(partial(outgoing_webhooks.delete, request=request, now=NOW))


async def replay(
    store: StoreHarness, actor: AccountId, chat: ChatId, number: str, index: int, head: int = HEAD, now: int = NOW
) -> int:
    request = ReplayOutgoingWebhook(chat, number, index, actor=actor)
    return await store.database.write(partial(outgoing_webhooks.replay, request=request, head=head, now=now))


async def listed(store: StoreHarness, actor: AccountId, chat: ChatId) -> list[OutgoingWebhookView]:
    request = ListOutgoingWebhooks(chat, actor=actor)
    return (await store.database.read(partial(outgoing_webhooks.list_hooks, request=request))).hooks


async def note(store: StoreHarness, chat: ChatId, head: int) -> None:
    await store.database.write(partial(outgoing_webhooks.note_head, chat=chat, head=head))


async def lease(
    store: StoreHarness,
    name: str = "a",
    now: int = NOW,
    limit: int = 9,
    held: Sequence[str] = (),
    *,
    slow: bool = False,
) -> list[LeasedWebhook]:
    take = partial(outgoing_webhooks.lease_due, lease=name, now=now, until=now + 100, limit=limit)
    has_due = await store.database.read(partial(outgoing_webhooks.has_due, now=now, held=held, slow=slow))
    leased = await store.database.write(partial(take, held=held, slow=slow))
    assert bool(leased) is has_due
    return leased


async def advance(store: StoreHarness, leased: LeasedWebhook, index: int) -> bool:
    return await store.database.write(partial(outgoing_webhooks.advance, leased=leased, index=index))


async def test_admins_make_list_and_delete_webhooks(populated: StoreHarness, group: ChatId) -> None:
    version = (await populated.changes(group)).version
    assert await create(populated, BOB, group, "1") == version + 1
    view = OutgoingWebhookView("1", "Archive", BOB, "https://a.example", NOW, HEAD + 1, WebhookState.ACTIVE)
    assert await listed(populated, ANN, group) == [view]
    for _ in range(2):
        await delete(populated, ANN, group, "1")
    assert await listed(populated, ANN, group) == []


async def test_others_may_not(populated: StoreHarness, group: ChatId) -> None:
    await create(populated, ANN, group, "1")
    other = (await populated.create_group(EVE, CEM)).id
    for actor in (CEM, EVE):
        for attempt in (
            create(populated, actor, group, "2"), listed(populated, actor, group),
            delete(populated, actor, group, "1"), replay(populated, actor, group, "1", 1),
        ):  # fmt: skip
            assert (await rejection(attempt)).code is ErrorCode.FORBIDDEN
    await delete(populated, EVE, other, "1")
    assert (await rejection(replay(populated, EVE, other, "1", 1))).code is ErrorCode.NOT_FOUND
    assert [one.next for one in await listed(populated, ANN, group)] == [HEAD + 1]


async def test_times_of_a_clock_that_was_ahead_are_corrected(populated: StoreHarness, group: ChatId) -> None:
    """One webhook was released, one waits for another attempt, and one is leased."""
    ahead = NOW + 86_400_000
    for number in ("1", "2", "3"):
        await create(populated, ANN, group, number)
    await note(populated, group, HEAD + 1)
    released, failed, _ = await lease(populated, now=ahead)
    await populated.database.write(outgoing_webhooks.release, released, ahead)
    await populated.database.write(outgoing_webhooks.fail, failed, "status 500", ahead, ahead + 50)
    for now, longest, hooks in ((NOW, 100_000_000, ["1", "3"]), (NOW + 50, 10_000, ["2"])):
        await populated.database.write(outgoing_webhooks.correct_times, now, 1_000, longest)
        assert [one.hook for one in await lease(populated, now=now)] == hooks
    await populated.database.write(outgoing_webhooks.correct_times, NOW + 60, 1_000, 10_000)
    assert await lease(populated, now=NOW + 60) == [], "leases that end soon stay"


async def test_a_group_has_few_webhooks(populated: StoreHarness, group: ChatId) -> None:
    populated.limits = LimitsSettings(outgoing_webhooks_per_group=1)
    await create(populated, ANN, group, "1")
    assert (await rejection(create(populated, ANN, group, "2"))).code is ErrorCode.LIMIT


async def test_a_membership_shows_whether_there_are_webhooks(populated: StoreHarness, group: ChatId) -> None:
    assert not (await populated.changes(group)).outgoing_hooks
    await create(populated, ANN, group, "1")
    assert (await populated.changes(group)).outgoing_hooks
    await delete(populated, ANN, group, "1")
    assert not (await populated.changes(group)).outgoing_hooks


async def test_webhooks_end_with_their_group(populated: StoreHarness, group: ChatId) -> None:
    await create(populated, ANN, group, "1")
    await note(populated, group, HEAD + 1)
    (leased,) = await lease(populated)
    await populated.disband(ANN, group)
    assert not await advance(populated, leased, HEAD + 1)
    assert await lease(populated, now=NOW + 1000) == []


@pytest.mark.parametrize("end", ["leave", "ban", "erase"])
async def test_webhooks_end_with_the_membership_of_their_maker(
    populated: StoreHarness, group: ChatId, end: str
) -> None:
    await create(populated, ANN, group, "1")
    await create(populated, BOB, group, "2")
    other = (await populated.create_group(BOB, CEM)).id
    await create(populated, BOB, other, "3")
    match end:
        case "leave":
            await populated.end_membership(BOB, group, BOB)
        case "ban":
            await populated.ban(ANN, group, BOB)
        case "erase":
            await populated.leave_all_chats(BOB)
    assert [one.hook for one in await listed(populated, ANN, group)] == ["1"]
    await note(populated, other, HEAD + 1)
    assert [one.hook for one in await lease(populated)] == ([] if end == "erase" else ["3"])


async def test_a_webhook_posts_while_its_maker_manages_the_group(populated: StoreHarness, group: ChatId) -> None:
    """The previous version ends memberships, but does not delete the webhooks of these members."""
    await create(populated, ANN, group, "1")
    await create(populated, BOB, group, "2")
    await note(populated, group, HEAD + 1)
    for role in (Role.MEMBER, Role.LEFT):
        await populated.set_role(group, BOB, role)
        assert [one.paused for one in await listed(populated, ANN, group)] == [False, True]
    (leased,) = await lease(populated)
    assert leased.hook == "1"
    await populated.set_role(group, ANN, Role.MEMBER)
    advance = partial(outgoing_webhooks.advance, leased=leased, index=HEAD + 1)
    assert not await populated.database.write(advance)


async def test_a_webhook_is_leased_once_it_has_something_to_post(populated: StoreHarness, group: ChatId) -> None:
    await create(populated, ANN, group, "1")
    await note(populated, group, HEAD)
    assert await lease(populated) == []
    await note(populated, group, HEAD + 2)
    await note(populated, group, HEAD + 1)
    (leased,) = await lease(populated)
    assert leased == LeasedWebhook(
        "1", group, ANN, "https://a.example/secret?key=1", "whsec_c2VjcmV0", 8, NOW, 0, 0, False, "a"
    )
    assert "secret" not in repr(leased)
    assert await lease(populated, "b") == []
    for index in (HEAD + 1, HEAD + 2):
        assert await advance(populated, leased, index)
    await populated.database.write(partial(outgoing_webhooks.release, leased=leased, due=NOW))
    assert await lease(populated) == []
    await note(populated, group, HEAD + 3)
    assert [one.next for one in await lease(populated)] == [HEAD + 3]


async def test_a_lease_that_ends_is_lost_to_another(populated: StoreHarness, group: ChatId) -> None:
    await create(populated, ANN, group, "1")
    await note(populated, group, HEAD + 2)
    (previous,) = await lease(populated)
    assert await advance(populated, previous, HEAD + 1)
    (leased,) = await lease(populated, "b", NOW + 100)
    assert leased.next == HEAD + 2
    assert not await advance(populated, previous, HEAD + 2)
    for late in (
        partial(outgoing_webhooks.release, leased=previous, due=0),
        partial(outgoing_webhooks.fail, leased=previous, error="late", since=NOW, due=0),
        partial(outgoing_webhooks.stop, leased=previous, error="late"),
    ):
        await populated.database.write(late)
    assert [one.state for one in await listed(populated, ANN, group)] == [WebhookState.ACTIVE]
    assert await advance(populated, leased, HEAD + 2)


async def test_those_that_wait_longest_are_first(populated: StoreHarness, group: ChatId) -> None:
    for number in ("1", "2", "3"):
        await create(populated, ANN, group, number)
    await note(populated, group, HEAD + 5)
    first, second = await lease(populated, limit=2)
    await populated.database.write(partial(outgoing_webhooks.release, leased=second, due=NOW + 5))
    await populated.database.write(partial(outgoing_webhooks.release, leased=first, due=NOW + 7))
    assert [one.hook for one in await lease(populated, now=NOW + 9, limit=2)] == ["3", second.hook]


async def test_a_failing_webhook_waits_and_stops(populated: StoreHarness, group: ChatId) -> None:
    await create(populated, ANN, group, "1")
    await note(populated, group, HEAD + 1)
    for attempt in (1, 2):
        (leased,) = await lease(populated, now=NOW + attempt * 10)
        assert (leased.attempts, leased.failing_since) == ((0, 0) if attempt == 1 else (1, NOW + 10))
        due = NOW + attempt * 10 + 10
        await populated.database.write(
            partial(outgoing_webhooks.fail, leased=leased, error="status 503", since=NOW + 10, due=due)
        )
        assert await lease(populated, now=due - 1) == []
    assert [(one.state, one.error) for one in await listed(populated, ANN, group)] == [
        (WebhookState.FAILING, "status 503")
    ]
    assert await populated.database.read(outgoing_webhooks.count) == (1, 0)
    (leased,) = await lease(populated, now=NOW + 30)
    await populated.database.write(partial(outgoing_webhooks.release, leased=leased, due=NOW + 35))
    (leased,) = await lease(populated, now=NOW + 35)
    assert (leased.attempts, leased.failing_since) == (2, NOW + 15)
    await populated.database.write(partial(outgoing_webhooks.stop, leased=leased, error="status 410"))
    assert [(one.state, one.error) for one in await listed(populated, ANN, group)] == [
        (WebhookState.STOPPED, "status 410")
    ]
    assert await populated.database.read(outgoing_webhooks.count) == (0, 1)
    await note(populated, group, HEAD + 2)
    assert await lease(populated, now=NOW + 1000) == []
    assert await populated.database.read(partial(outgoing_webhooks.known_heads, after=ChatId(0), limit=9)) == {}
    await populated.database.write(partial(outgoing_webhooks.resume, hook="1", head=HEAD + 1, now=NOW))
    (leased,) = await lease(populated, now=NOW + 1000)
    assert (leased.next, leased.attempts, leased.failing_since) == (HEAD + 1, 0, 0)
    assert await advance(populated, leased, HEAD + 1)
    assert [(one.state, one.error) for one in await listed(populated, ANN, group)] == [(WebhookState.ACTIVE, "")]


async def test_a_replay_ends_the_lease(populated: StoreHarness, group: ChatId) -> None:
    await create(populated, ANN, group, "1")
    await note(populated, group, HEAD + 3)
    (leased,) = await lease(populated)
    assert await replay(populated, BOB, group, "1", 2, HEAD + 3) == 2
    assert not await advance(populated, leased, HEAD + 1)
    assert [one.next for one in await lease(populated, "b")] == [2]
    assert await replay(populated, BOB, group, "1", 1_000, HEAD + 9) == HEAD + 10
    assert await lease(populated, "c") == []


async def test_a_replay_is_due_behind_those_that_wait(populated: StoreHarness, group: ChatId) -> None:
    """If a replay came first, users who repeat replays of their webhooks would use every turn."""
    for number in ("1", "2"):
        await create(populated, ANN, group, number)
    await note(populated, group, HEAD + 1)
    await replay(populated, ANN, group, "1", HEAD, now=NOW + 5)
    assert [one.hook for one in await lease(populated, now=NOW + 9, limit=1)] == ["2"]


async def test_a_replay_begins_after_the_turn(populated: StoreHarness, group: ChatId) -> None:
    """If a replay began at once, one webhook that is replayed again and again would use all turns of a process."""
    await create(populated, ANN, group, "1")
    await note(populated, group, HEAD + 1)
    assert await lease(populated)
    await replay(populated, ANN, group, "1", HEAD)
    assert await lease(populated, "b", held=["1"]) == []
    assert [one.next for one in await lease(populated, "b")] == [HEAD]


async def test_chats_with_webhooks_and_what_these_know(populated: StoreHarness, group: ChatId) -> None:
    other = (await populated.create_group(ANN, CEM)).id
    await create(populated, ANN, group, "1")
    await note(populated, group, HEAD + 3)
    await create(populated, ANN, group, "2")
    await create(populated, ANN, other, "3")
    heads = partial(outgoing_webhooks.known_heads, after=ChatId(0))
    assert await populated.database.read(partial(heads, limit=9)) == {group: HEAD, other: HEAD}
    assert await populated.database.read(partial(heads, limit=1)) == {group: HEAD}
    assert await populated.database.read(partial(heads, limit=1, after=group)) == {other: HEAD}


async def test_slow_webhooks_are_leased_apart(populated: StoreHarness, group: ChatId) -> None:
    for number in ("1", "2"):
        await create(populated, ANN, group, number)
    await note(populated, group, HEAD + 1)
    one, other = await lease(populated)
    for leased in (one._replace(slow=True), other):
        await populated.database.write(partial(outgoing_webhooks.release, leased=leased, due=NOW))
    assert [leased.hook for leased in await lease(populated)] == ["2"]
    assert [leased.hook for leased in await lease(populated, slow=True)] == ["1"]
    await replay(populated, ANN, group, "1", 1)
    assert await lease(populated) == [], "users replay as often as they like"
