"""Tests bans, silences and disbanded groups on both databases."""

from services.session.store.memberships import StartedJoin
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.members import Ban, MemberRole
from shared.contract.model import JoinPolicy, Role
from shared.settings.limits import LimitsSettings
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, EVE, NOW, StoreHarness, rejection, roles

LATER = NOW + 60_000


async def test_a_banned_member_is_removed_and_cannot_return(populated: StoreHarness, group: ChatId) -> None:
    version, left = await populated.ban(BOB, group, CEM)
    assert left is not None
    assert (version, left.version, left.members) == (2, 2, [ANN, BOB])
    assert roles((await populated.changes(group)).members)[CEM] == Role.LEFT
    assert (await rejection(populated.request_membership(CEM, group))).code is ErrorCode.FORBIDDEN
    await populated.befriend(ANN, CEM)
    assert (await rejection(populated.add_member(ANN, group, CEM))).field == "account"
    assert await populated.bans(ANN, group) == [Ban(CEM, 0, BOB)]
    assert [await populated.unban(BOB, group, CEM) for _ in range(2)] == [3, 3]
    assert isinstance(await populated.request_membership(CEM, group), StartedJoin)


async def test_a_ban_of_another_account_ends_at_its_time(populated: StoreHarness, group: ChatId) -> None:
    assert await populated.ban(ANN, group, DAN) == (2, None)
    assert await populated.ban(ANN, group, DAN, until=LATER) == (3, None), "message reads when it ends"
    assert await populated.ban(ANN, group, DAN, until=LATER) == (3, None)
    assert await populated.bans(ANN, group) == [Ban(DAN, LATER, ANN)]
    populated.now = LATER
    assert await populated.bans(ANN, group) == []
    assert isinstance(await populated.request_membership(DAN, group), StartedJoin)


async def test_a_ban_ends_a_request_and_an_application_is_rejected(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, join_policy=JoinPolicy.APPROVAL)).id
    await populated.request_membership(DAN, chat)
    await populated.ban(ANN, chat, DAN)
    assert (await populated.pending_requests(ANN)).memberships == []
    assert (await rejection(populated.request_membership(DAN, chat))).code is ErrorCode.FORBIDDEN


async def test_rights_to_ban(populated: StoreHarness, group: ChatId) -> None:
    for actor, account in ((BOB, ANN), (CEM, DAN), (EVE, CEM)):
        assert (await rejection(populated.ban(actor, group, account))).code is ErrorCode.FORBIDDEN
    assert (await rejection(populated.ban(ANN, group, AccountId(99)))).code is ErrorCode.NOT_FOUND
    assert await populated.bans(ANN, group) == []
    assert (await rejection(populated.bans(CEM, group))).code is ErrorCode.FORBIDDEN


async def test_bans_are_limited(populated: StoreHarness, group: ChatId) -> None:
    populated.limits = LimitsSettings(bans_per_group=1)
    await populated.ban(ANN, group, DAN, until=LATER)
    await populated.ban(ANN, group, DAN, until=LATER + 1)
    assert (await rejection(populated.ban(ANN, group, CEM))).code is ErrorCode.LIMIT
    assert CEM in await populated.members(group, ANN), "the removal is undone, too"
    populated.now = LATER + 1
    await populated.ban(ANN, group, CEM)


async def test_the_membership_names_silenced_members(populated: StoreHarness, group: ChatId) -> None:
    assert await populated.silence(BOB, group, CEM, LATER) == 2
    assert await populated.silence(ANN, group, NO_ACCOUNT, LATER + 1) == 3
    page = await populated.changes(group)
    assert (page.version, page.muted) == (3, {NO_ACCOUNT: LATER + 1, CEM: LATER})
    listed = await populated.list_members(ANN, group, NO_ACCOUNT, 9)
    assert listed.members[2] == MemberRole(CEM, Role.MEMBER, LATER, "name 3")
    assert listed.silenced == LATER + 1
    assert await populated.silence(ANN, group, CEM, 0) == 4
    assert (await populated.changes(group)).muted == {NO_ACCOUNT: LATER + 1}
    populated.now = LATER + 1
    await populated.silence(ANN, group, BOB, LATER + 2)
    assert (await populated.changes(group)).muted == {BOB: LATER + 2}, "what has passed is deleted"


async def test_rights_to_silence_and_their_limit(populated: StoreHarness, group: ChatId) -> None:
    for actor, account in ((BOB, ANN), (BOB, BOB), (CEM, NO_ACCOUNT), (EVE, CEM)):
        assert (await rejection(populated.silence(actor, group, account, LATER))).code is ErrorCode.FORBIDDEN
    assert (await rejection(populated.silence(ANN, group, DAN, LATER))).code is ErrorCode.NOT_FOUND
    populated.limits = LimitsSettings(silenced_per_group=1)
    await populated.silence(ANN, group, CEM, LATER)
    await populated.silence(ANN, group, CEM, LATER + 1)
    assert (await rejection(populated.silence(ANN, group, BOB, LATER))).code is ErrorCode.LIMIT
    await populated.silence(ANN, group, NO_ACCOUNT, LATER)
    await populated.silence(ANN, group, CEM, 0)
    await populated.silence(ANN, group, BOB, LATER)


async def test_a_former_member_is_silent_when_it_returns(populated: StoreHarness, group: ChatId) -> None:
    await populated.silence(ANN, group, CEM, LATER)
    await populated.end_membership(CEM, group, CEM)
    await populated.request_membership(CEM, group)
    assert (await populated.changes(group)).muted == {CEM: LATER}


async def test_a_disbanded_group_has_no_members_and_gets_none(populated: StoreHarness, group: ChatId) -> None:
    await populated.ban(ANN, group, DAN)
    await populated.silence(ANN, group, CEM, LATER)
    assert (await rejection(populated.disband(BOB, group))).code is ErrorCode.FORBIDDEN
    assert await populated.disband(ANN, group) == (4, [ANN, BOB, CEM], [])
    page = await populated.changes(group)
    assert (page.version, set(roles(page.members).values()), page.muted) == (4, {Role.LEFT}, {})
    assert [(await populated.lists(one))[0] for one in (ANN, BOB, CEM)] == [[], [], []]
    for account in (ANN, DAN):
        assert (await rejection(populated.request_membership(account, group))).code is ErrorCode.FORBIDDEN
    assert (await rejection(populated.disband(ANN, group))).code is ErrorCode.FORBIDDEN


async def test_bans_and_silences_end_with_an_account(populated: StoreHarness, group: ChatId) -> None:
    await populated.ban(ANN, group, DAN)
    await populated.silence(ANN, group, CEM, LATER)
    for account in (CEM, DAN):
        await populated.remove_data(account)
    assert await populated.bans(ANN, group) == []
    assert (await populated.changes(group)).muted == {}
