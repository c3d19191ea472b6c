"""An owner or admin adds several accounts to a group at once, on both databases."""

import asyncio

import pytest

from services.session.store.memberships import StartedJoin
from shared.contract.edge import RecentJoins
from shared.contract.errors import ErrorCode
from shared.contract.ids import SYSTEM_ACCOUNT, AccountId, ChatId
from shared.contract.model import JoinPolicy, Role
from shared.contract.session import Member
from shared.settings.limits import LimitsSettings
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, EVE, StoreHarness, rejection

FAY = AccountId(6)


@pytest.fixture
async def populated(store: StoreHarness) -> StoreHarness:
    """Ann, Bob, Cem, Dan and Fay have profiles. Ann is a friend of the others."""
    await store.add_profiles(ANN, BOB, CEM, DAN, FAY)
    for other in (BOB, CEM, DAN, FAY):
        await store.befriend(ANN, other)
    return store


async def codes(
    store: StoreHarness, actor: AccountId, chat: ChatId, *accounts: AccountId
) -> dict[AccountId, ErrorCode]:
    rejected = (await store.add_members(actor, chat, *accounts)).rejected
    return {account: failure.code for account, failure in rejected.items()}


async def test_each_join_has_a_version_and_a_seat_of_its_own(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, name="g")).id
    populated.head = 5
    started = await populated.add_members(ANN, chat, DAN, BOB, CEM, DAN)
    assert started == (4, "g", [DAN, BOB, CEM], [], {})
    assert (await populated.changes(chat, since=1)).members == [
        Member(account, Role.MEMBER, 6, version, 0) for version, account in ((2, DAN), (3, BOB), (4, CEM))
    ]
    finished = await populated.finish_joins([DAN, BOB, CEM], 8, chat)
    assert finished.version == 7
    assert [(one.answered.account, one.version, one.since, one.first_index) for one in finished.joins] == [
        (DAN, 5, 4, 8), (BOB, 6, 5, 8), (CEM, 7, 6, 8)
    ]  # fmt: skip
    assert all(one.recipients == [ANN, DAN, BOB, CEM] for one in finished.joins)
    assert (await populated.changes(chat, since=4)).members == [
        Member(account, Role.MEMBER, 8, version, 8) for version, account in ((5, DAN), (6, BOB), (7, CEM))
    ]
    assert await populated.members(chat, ANN) == [ANN, DAN, BOB, CEM]
    assert [len(await populated.pending_events(one)) for one in (ANN, BOB)] == [3, 3]


async def test_members_stay_and_interrupted_joins_go_on(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB)).id
    await populated.add_members(ANN, chat, CEM, DAN)
    await populated.finish_joins([CEM], 4, chat)
    again = await populated.add_members(ANN, chat, BOB, ANN, CEM, DAN)
    assert (again.joining, again.present, again.rejected) == ([DAN], [BOB, ANN, CEM], {})
    finished = await populated.finish_joins([DAN, CEM, BOB], 4, chat)
    assert [one.answered.account for one in finished.joins] == [DAN]
    assert await populated.finish_joins([DAN], 9, chat) == (finished.version, [])
    assert (await populated.add_members(ANN, chat, BOB, CEM, DAN)).version == finished.version


async def test_each_rejection_has_its_reason_and_the_others_join(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN)).id
    stranger = AccountId(7)
    await populated.add_profiles(stranger)
    await populated.set_blocked(BOB, ANN)
    await populated.ban(ANN, chat, CEM)
    await populated.erase(FAY)
    wrong = [BOB, CEM, EVE, FAY, stranger, SYSTEM_ACCOUNT, AccountId(2**63), AccountId(-1)]
    started = await populated.add_members(ANN, chat, *wrong, DAN)
    assert {account: failure.code for account, failure in started.rejected.items()} == {
        BOB: ErrorCode.FORBIDDEN, CEM: ErrorCode.FORBIDDEN, EVE: ErrorCode.NOT_FOUND, FAY: ErrorCode.NOT_FOUND,
        stranger: ErrorCode.FORBIDDEN, SYSTEM_ACCOUNT: ErrorCode.NOT_FOUND, 2**63: ErrorCode.NOT_FOUND,
        -1: ErrorCode.NOT_FOUND,
    }  # fmt: skip
    assert (started.joining, started.version) == ([DAN], 3)
    assert await codes(populated, ANN, chat, EVE) == {EVE: ErrorCode.NOT_FOUND}


async def test_a_full_group_takes_the_first_ones(populated: StoreHarness) -> None:
    populated.limits = LimitsSettings(members_per_group=3)
    chat = (await populated.create_group(ANN)).id
    assert await codes(populated, ANN, chat, DAN, BOB, CEM, FAY) == {CEM: ErrorCode.LIMIT, FAY: ErrorCode.LIMIT}
    assert await codes(populated, ANN, chat, DAN, CEM) == {CEM: ErrorCode.LIMIT}
    assert await populated.members(chat, ANN) == [ANN, DAN, BOB]


async def test_an_account_with_many_groups_is_rejected(populated: StoreHarness) -> None:
    await populated.create_group(BOB)
    populated.limits = LimitsSettings(chats_per_account=1)
    chat = (await populated.create_group(ANN)).id
    assert await codes(populated, ANN, chat, BOB, CEM) == {BOB: ErrorCode.LIMIT}


async def test_applicants_are_accepted(populated: StoreHarness) -> None:
    chat = (await populated.create_group(BOB, join_policy=JoinPolicy.APPROVAL)).id
    for applicant in (CEM, DAN):
        await populated.request_membership(applicant, chat)
    started = await populated.add_members(BOB, chat, CEM, FAY)
    assert (started.joining, [*started.rejected]) == ([CEM], [FAY])
    assert [one.applicant for one in (await populated.pending_requests(BOB)).memberships] == [DAN]


async def test_only_the_owner_and_admins_add(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB)).id
    await populated.befriend(BOB, CEM)
    for actor, number, code in (
        (BOB, chat, ErrorCode.FORBIDDEN), (CEM, chat, ErrorCode.FORBIDDEN), (ANN, ChatId(99), ErrorCode.NOT_FOUND)
    ):  # fmt: skip
        assert (await rejection(populated.add_members(actor, number, CEM))).code is code
    await populated.set_role(chat, BOB, Role.ADMIN)
    assert (await populated.add_members(BOB, chat, CEM)).joining == [CEM]


async def test_concurrent_requests_add_each_account_once(populated: StoreHarness) -> None:
    """The requests name the accounts in different orders.

    Some are for another group, and some name one account only.
    """
    first, second = [(await populated.create_group(ANN)).id for _ in range(2)]
    accounts = [BOB, CEM, DAN, FAY]
    results = await asyncio.gather(
        *(populated.add_members(ANN, chat, *order) for chat in (first, second) for order in (accounts, accounts[::-1])),
        *(populated.add_member(ANN, first, account) for account in accounts),
        return_exceptions=True,
    )
    assert all(not isinstance(one, BaseException) or isinstance(one, StartedJoin) for one in results)
    for chat in (first, second):
        changes = await populated.changes(chat)
        assert (changes.version, sorted(one.version for one in changes.members)) == (5, [1, 2, 3, 4, 5])
    finished = await asyncio.gather(
        *(populated.finish_joins(order, 1, first) for order in (accounts, accounts[::-1], [DAN]))
    )
    assert sorted(one.version for joins in finished for one in joins.joins) == [6, 7, 8, 9]


async def test_concurrent_requests_respect_the_limits(populated: StoreHarness) -> None:
    populated.limits = LimitsSettings(members_per_group=3, chats_per_account=2)
    first, second, third = [(await populated.create_group(owner)).id for owner in (ANN, ANN, BOB)]
    await populated.befriend(BOB, CEM)
    await populated.befriend(BOB, DAN)
    started = await asyncio.gather(
        populated.add_members(ANN, first, CEM, DAN, FAY),
        populated.add_members(ANN, second, FAY, DAN, CEM),
        populated.add_members(BOB, third, DAN, CEM),
    )
    assert all(len(one.joining) <= 2 for one in started)
    for account in (CEM, DAN, FAY):
        assert sum(account in one.joining for one in started) <= 2


async def test_the_first_event_in_a_large_group_names_the_others(populated: StoreHarness) -> None:
    """The first event names all members who joined after version 1.

    Each later event follows the version of the previous one.
    """
    chat = (await populated.create_group(ANN)).id
    await populated.add_members(ANN, chat, BOB, CEM, DAN)
    finished = await populated.finish_joins([BOB, CEM, DAN], 3, chat, broadcast_from=2)
    recent = [one.recent for one in finished.joins]
    assert recent == [RecentJoins(1, {DAN: 3, CEM: 3, ANN: 1}), None, None]
    assert [(one.version, one.since) for one in finished.joins] == [(5, 4), (6, 5), (7, 6)]
    assert [len(await populated.pending_events(one)) for one in (ANN, BOB, CEM)] == [0, 1, 1]
