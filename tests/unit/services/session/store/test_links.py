"""Tests links by which accounts join a group, on both databases."""

import asyncio

import pytest

from services.session.store.memberships import StartedJoin
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import ChatId
from shared.contract.members import InvitationLink
from shared.contract.model import JoinPolicy, Role
from shared.settings.limits import LimitsSettings
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, EVE, NOW, StoreHarness, rejection

LATER = NOW + 60_000


async def unusable(store: StoreHarness, code: str) -> None:
    assert (await rejection(store.join_by_link(EVE, code))).code is ErrorCode.NOT_FOUND


@pytest.fixture
async def group(populated: StoreHarness) -> ChatId:
    """A closed group that Ann owns. Bob is an admin, and Cem is a member."""
    chat = (await populated.create_group(ANN, BOB, CEM, join_policy=JoinPolicy.CLOSED)).id
    await populated.set_role(chat, BOB, Role.ADMIN)
    return chat


async def test_a_link_lets_accounts_join_a_closed_group(populated: StoreHarness, group: ChatId) -> None:
    assert await populated.create_link(BOB, group, "l") == InvitationLink("l", BOB)
    for account in (DAN, EVE):
        assert isinstance(await populated.join_by_link(account, "l"), StartedJoin)
    await populated.finish_join(DAN, number=group)
    assert (await rejection(populated.join_by_link(DAN, "l"))).code is ErrorCode.CONFLICT
    assert await populated.links(ANN, group) == [InvitationLink("l", BOB)]


async def test_a_link_ends_with_its_uses_and_its_time(populated: StoreHarness, group: ChatId) -> None:
    await populated.create_link(ANN, group, "once", uses=1)
    await populated.create_link(ANN, group, "soon", expires=LATER)
    assert (await rejection(populated.join_by_link(CEM, "once"))).code is ErrorCode.CONFLICT
    await populated.join_by_link(DAN, "once")
    await populated.join_by_link(DAN, "soon")
    await unusable(populated, "once")
    assert await populated.links(ANN, group) == [InvitationLink("soon", ANN, 0, LATER)]
    populated.now = LATER
    await unusable(populated, "soon")
    await unusable(populated, "unknown")
    assert await populated.links(ANN, group) == []


async def test_concurrent_joins_use_a_link_once(populated: StoreHarness, group: ChatId) -> None:
    await populated.create_link(ANN, group, "once", uses=1)
    joins = [populated.join_by_link(account, "once") for account in (DAN, EVE)]
    results = await asyncio.gather(*joins, return_exceptions=True)
    failures = [result.failure for result in results if isinstance(result, RequestError)]
    assert failures == [Failure(ErrorCode.NOT_FOUND, "this link can no longer be used", "link")]


async def test_a_ban_and_a_limit_use_no_link(populated: StoreHarness, group: ChatId) -> None:
    await populated.create_link(ANN, group, "once", uses=1)
    await populated.ban(ANN, group, EVE)
    assert (await rejection(populated.join_by_link(EVE, "once"))).code is ErrorCode.FORBIDDEN
    populated.limits = LimitsSettings(members_per_group=3)
    assert (await rejection(populated.join_by_link(DAN, "once"))).code is ErrorCode.LIMIT
    populated.limits = LimitsSettings()
    await populated.join_by_link(DAN, "once")


async def test_rights_to_links_and_their_limit(populated: StoreHarness, group: ChatId) -> None:
    populated.limits = LimitsSettings(links_per_group=1)
    for action in (
        populated.create_link(CEM, group, "x"),
        populated.create_link(EVE, group, "x"),
        populated.links(CEM, group),
        populated.delete_link(CEM, group, "x"),
    ):
        assert (await rejection(action)).code is ErrorCode.FORBIDDEN
    await populated.create_link(ANN, group, "soon", expires=LATER)
    assert (await rejection(populated.create_link(ANN, group, "x"))).code is ErrorCode.LIMIT
    populated.now = LATER
    await populated.create_link(ANN, group, "x")


async def test_a_link_is_deleted_by_an_admin_of_its_group_and_with_the_group(
    populated: StoreHarness, group: ChatId
) -> None:
    await populated.create_link(ANN, group, "l")
    other = (await populated.create_group(EVE)).id
    await populated.delete_link(EVE, other, "l")
    assert len(await populated.links(ANN, group)) == 1
    await populated.delete_link(BOB, group, "l")
    await unusable(populated, "l")
    await populated.create_link(ANN, group, "m")
    await populated.disband(ANN, group)
    await unusable(populated, "m")


async def test_a_link_can_be_used_while_its_maker_manages_the_group(populated: StoreHarness, group: ChatId) -> None:
    await populated.create_link(BOB, group, "l")
    await populated.set_role(group, BOB, Role.MEMBER)
    await unusable(populated, "l")
    assert await populated.links(ANN, group) == [InvitationLink("l", BOB, paused=True)]
    await populated.set_role(group, BOB, Role.ADMIN)
    assert await populated.join_by_link(DAN, "l")
    await populated.end_membership(BOB, group, BOB)
    assert await populated.links(ANN, group) == []
