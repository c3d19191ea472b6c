"""Tests the members of groups and their roles on both databases."""

from functools import partial

import pytest
import sqlalchemy as sa

from services.session.store import views
from services.session.store.moderation import ChangedRoles
from services.session.store.profiles import set_profile
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.members import MemberList, MemberRole
from shared.contract.model import Role
from shared.contract.session import Member
from tests.support.plans import observed
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, StoreHarness, rejection, roles


async def test_owner_makes_an_admin_and_takes_the_role_back(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB)).id
    changed = await populated.give_role(ANN, chat, BOB, Role.ADMIN)
    assert changed == ChangedRoles(2, [Member(BOB, Role.ADMIN, 1, 2, 1)], [ANN, BOB])
    assert await populated.give_role(ANN, chat, BOB, Role.ADMIN) == ChangedRoles(2, [], None)
    assert (await populated.give_role(ANN, chat, BOB, Role.MEMBER)).version == 3
    page = await populated.changes(chat, since=1)
    assert (page.version, page.members) == (3, [Member(BOB, Role.MEMBER, 1, 3, 1)])


async def test_transferred_group_has_one_owner(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB, CEM)).id
    changed = await populated.give_role(ANN, chat, CEM, Role.OWNER)
    assert roles(changed.changed) == {CEM: Role.OWNER, ANN: Role.ADMIN}
    assert roles((await populated.changes(chat)).members) == {ANN: Role.ADMIN, BOB: Role.MEMBER, CEM: Role.OWNER}
    assert (await populated.chat(chat, BOB)).owner == CEM
    assert (await rejection(populated.give_role(ANN, chat, BOB, Role.ADMIN))).code == ErrorCode.FORBIDDEN


@pytest.mark.parametrize(
    ("actor", "account", "code"),
    [(BOB, CEM, ErrorCode.FORBIDDEN), (DAN, CEM, ErrorCode.FORBIDDEN), (ANN, DAN, ErrorCode.NOT_FOUND)],
)
async def test_only_the_owner_sets_roles_of_members(
    populated: StoreHarness, actor: AccountId, account: AccountId, code: ErrorCode
) -> None:
    """Ann owns the group, Bob is an admin, Cem is a member, and Dan is not a member."""
    chat = (await populated.create_group(ANN, BOB, CEM)).id
    await populated.give_role(ANN, chat, BOB, Role.ADMIN)
    for role in (Role.ADMIN, Role.OWNER):
        assert (await rejection(populated.give_role(actor, chat, account, role))).code == code
    assert (await populated.changes(chat)).version == 2


async def test_role_in_a_large_group_moves_no_times_of_change(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB)).id
    before = await populated.profile(BOB)
    changed = await populated.give_role(ANN, chat, BOB, Role.ADMIN, broadcast_from=2)
    assert changed.recipients is None
    assert await populated.profile(BOB) == before


async def test_members_are_listed_in_pages_without_former_ones(populated: StoreHarness) -> None:
    chat = (await populated.create_group(BOB, ANN, CEM, DAN)).id
    await populated.end_membership(CEM, chat, CEM)
    picture = partial(set_profile, account=BOB, values={"avatar": "/media/0"}, now=populated.now)
    await populated.database.write(picture)
    ann, bob = MemberRole(ANN, Role.MEMBER, 0, "name 1"), MemberRole(BOB, Role.OWNER, 0, "name 2", "/media/0")
    first = MemberList([ann, bob], more=True, version=2)
    assert await populated.list_members(ANN, chat, NO_ACCOUNT, 2) == first
    rest = MemberList([MemberRole(DAN, Role.MEMBER, 0, "name 4")], version=2)
    assert await populated.list_members(ANN, chat, BOB, 2) == rest
    assert (await rejection(populated.list_members(CEM, chat, NO_ACCOUNT, 2))).code == ErrorCode.FORBIDDEN


async def test_members_are_found_by_the_beginning_of_their_names(
    populated: StoreHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upper and lower case do not matter. A page reads a limited number of members."""
    chat = (await populated.create_group(ANN, BOB, CEM)).id
    for account, nickname in ((ANN, "Zoe"), (BOB, "zora%"), (CEM, "a zo"), (DAN, "zo")):
        named = partial(set_profile, account=account, values={"nickname": nickname}, now=populated.now)
        await populated.database.write(named)

    async def found(query: str, most: int = 9, after: AccountId = NO_ACCOUNT) -> tuple[list[AccountId], int]:
        page = await populated.list_members(ANN, chat, after, most, query=query)
        assert page.more is bool(page.after)
        return [one.account for one in page.members], page.after

    assert await found("Zo") == ([ANN, BOB], 0)
    assert await found("zo", most=1) == ([ANN], ANN)
    assert await found("zo", after=ANN) == ([BOB], 0)
    assert [await found(query) for query in ("zora%", "z%", "_oe", "x")] == [([BOB], 0), ([], 0), ([], 0), ([], 0)]
    monkeypatch.setattr(views, "_LOOKED_AT", 2)
    assert await found("a") == ([], BOB)
    assert await found("a", after=BOB) == ([CEM], 0)
    await populated.end_membership(CEM, chat, CEM)
    assert await found("a", after=BOB) == ([], 0)


async def test_the_case_of_other_alphabets_does_not_matter_either(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB, CEM)).id
    for account, nickname in ((ANN, "Älva"), (BOB, "Ада"), (CEM, "ÄLS")):
        named = partial(set_profile, account=account, values={"nickname": nickname}, now=populated.now)
        await populated.database.write(named)
    for query, accounts in (("äl", [ANN, CEM]), ("ÄL", [ANN, CEM]), ("ад", [BOB]), ("АДА", [BOB])):
        page = await populated.list_members(ANN, chat, NO_ACCOUNT, 9, query=query)
        assert [one.account for one in page.members] == accounts


async def test_members_that_have_changed_since_a_version(populated: StoreHarness) -> None:
    """The list is ordered by account. It includes accounts that have left, but no unchanged members."""
    chat = (await populated.create_group(ANN, DAN, BOB, CEM)).id

    async def changed(since: int, most: int = 9, after: AccountId = NO_ACCOUNT) -> list[tuple[AccountId, int, int]]:
        page = await populated.list_members(ANN, chat, after, most, since=since)
        assert page.since == since
        return [(one.account, one.role, one.silenced) for one in page.members]

    assert await changed(1) == []
    await populated.give_role(ANN, chat, DAN, Role.ADMIN)
    await populated.end_membership(CEM, chat, CEM)
    assert (await populated.list_members(ANN, chat)).version == 3
    assert await populated.silence(ANN, chat, BOB, 2**52) == 4
    assert await changed(1) == [(BOB, Role.MEMBER, 2**52), (CEM, Role.LEFT, 0), (DAN, Role.ADMIN, 0)]
    assert [await changed(since) for since in (2, 3, 4)] == [
        [(BOB, Role.MEMBER, 2**52), (CEM, Role.LEFT, 0)], [(BOB, Role.MEMBER, 2**52)], []
    ]  # fmt: skip
    assert await changed(1, most=2) == [(BOB, Role.MEMBER, 2**52), (CEM, Role.LEFT, 0)]
    assert await changed(1, after=CEM) == [(DAN, Role.ADMIN, 0)]
    (previous,) = [one for one in (await populated.list_members(ANN, chat, since=1)).members if one.account == CEM]
    assert (previous.nickname, previous.avatar) == (None, "")


async def test_all_members_are_listed_to_one_that_was_not_there_at_the_version(populated: StoreHarness) -> None:
    """Members who joined later do not see past members.

    All members are also listed for a version that the chat never had, or that a restored database has lost.
    """
    chat = (await populated.create_group(ANN, BOB, CEM)).id
    await populated.end_membership(BOB, chat, BOB)
    await populated.befriend(ANN, DAN)
    await populated.add_member(ANN, chat, DAN)
    await populated.finish_join(DAN, 1, chat)
    version = (await populated.changes(chat)).version
    for actor, since in ((DAN, 1), (DAN, version - 1), (ANN, version + 1), (ANN, 2**53), (ANN, -1)):
        page = await populated.list_members(actor, chat, since=since)
        assert (page.since, page.version, [one.account for one in page.members]) == (0, version, [ANN, CEM, DAN])
    assert [one.account for one in (await populated.list_members(ANN, chat, since=1)).members] == [BOB, DAN]
    await populated.give_role(ANN, chat, DAN, Role.ADMIN)
    assert (await populated.list_members(DAN, chat, since=version)).since == 0, "the own role has changed"


async def test_changes_are_read_by_their_version(populated: StoreHarness) -> None:
    """If few members have changed, the store does not read the whole group."""
    others = [AccountId(number) for number in range(100, 600)]
    await populated.add_profiles(*others)
    chat = (await populated.create_group(ANN, BOB, *others)).id
    await populated.give_role(ANN, chat, BOB, Role.ADMIN)
    await populated.database.write(lambda connection: connection.execute(sa.text("ANALYZE")))
    with observed() as plans:
        page = await populated.list_members(ANN, chat, since=1)
    assert [one.account for one in page.members] == [BOB]
    assert plans
    assert max(plan.most for plan in plans) < 300
