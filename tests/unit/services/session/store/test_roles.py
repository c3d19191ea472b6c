"""The members of groups and their roles, on both databases."""

from functools import partial

import pytest

from services.session.store.profiles import set_profile
from services.session.store.roles import ChangedRoles
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.members import MemberList, MemberRole
from shared.contract.model import Role
from shared.contract.session import Member
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, StoreHarness, rejection, roles


@pytest.fixture
async def populated(store: StoreHarness) -> StoreHarness:
    await store.add_profiles(ANN, BOB, CEM, DAN)
    return store


async def test_owner_makes_an_admin_and_takes_the_role_back(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB)).id
    changed = await populated.give_role(ANN, chat, BOB, Role.ADMIN)
    assert changed == ChangedRoles(2, [Member(BOB, Role.ADMIN, 1, 2, 1)], [ANN, BOB])
    assert await populated.give_role(ANN, chat, BOB, Role.ADMIN) is None
    assert await populated.give_role(ANN, chat, BOB, Role.MEMBER) is not None
    page = await populated.changes(chat, since=1)
    assert (page.version, page.members) == (3, [Member(BOB, Role.MEMBER, 1, 3, 1)])


async def test_transferred_group_has_one_owner(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB, CEM)).id
    changed = await populated.give_role(ANN, chat, CEM, Role.OWNER)
    assert changed is not None
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
    """Ann owns the group, Bob is an admin, Cem is a member, Dan is none."""
    chat = (await populated.create_group(ANN, BOB, CEM)).id
    await populated.give_role(ANN, chat, BOB, Role.ADMIN)
    for role in (Role.ADMIN, Role.OWNER):
        assert (await rejection(populated.give_role(actor, chat, account, role))).code == code
    assert (await populated.changes(chat)).version == 2


async def test_role_in_a_large_group_moves_no_times_of_change(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB)).id
    before = await populated.profile(BOB)
    changed = await populated.give_role(ANN, chat, BOB, Role.ADMIN, broadcast_from=2)
    assert changed is not None
    assert changed.recipients is None
    assert await populated.profile(BOB) == before


async def test_members_are_listed_in_pages_without_former_ones(populated: StoreHarness) -> None:
    chat = (await populated.create_group(BOB, ANN, CEM, DAN)).id
    await populated.end_membership(CEM, chat, CEM)
    picture = partial(set_profile, account=BOB, values={"avatar": "/media/0"}, now=populated.now)
    await populated.database.write(picture)
    ann, bob = MemberRole(ANN, Role.MEMBER, 0, "name 1"), MemberRole(BOB, Role.OWNER, 0, "name 2", "/media/0")
    first = MemberList([ann, bob], more=True)
    assert await populated.list_members(ANN, chat, NO_ACCOUNT, 2) == first
    assert await populated.list_members(ANN, chat, BOB, 2) == MemberList([MemberRole(DAN, Role.MEMBER, 0, "name 4")])
    assert (await rejection(populated.list_members(CEM, chat, NO_ACCOUNT, 2))).code == ErrorCode.FORBIDDEN
