"""Tests handles, modes, masks and invitations of groups on both databases."""

import asyncio
import threading
from functools import partial

import pytest
import sqlalchemy as sa

from services.session.domain import ALWAYS
from services.session.store import admission, chats, departures, irc, masks, profiles
from services.session.store.departures import LeftChat
from services.session.store.irc import ChangedModes
from services.session.store.memberships import StartedJoin, request_membership
from shared.contract.directory import ListGroups
from shared.contract.errors import ErrorCode, Reason
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.members import ChangeModes, EndMembership, Invite, Mask, ModeChange, RequestMembership
from shared.contract.model import Chat, JoinPolicy, Role
from shared.contract.session import CreateChat
from tests.support.waiting import WAIT_SECONDS, block_until
from tests.unit.services.session.store_harness import (
    ANN,
    BOB,
    CEM,
    DAN,
    EVE,
    NOW,
    StoreHarness,
    profile_seed,
    rejection,
    roles,
)

SERVER = "irc.example"
GUEST = AccountId(6)
LATER = NOW + 60_000
_WAITING = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))")


async def make(store: StoreHarness, handle: str, actor: AccountId = ANN, *others: AccountId) -> Chat:
    request = CreateChat([], name="g", join_policy=JoinPolicy.OPEN, actor=actor, handle=handle)
    create = partial(chats.create_group, request=request, members=(actor, *others), limits=store.limits, now=store.now)
    return (await store.database.write(create)).chat


async def change(store: StoreHarness, chat: ChatId, actor: AccountId, *changes: str) -> ChangedModes:
    """Changes modes. Each change has the form "+o 2"."""
    made = [ModeChange(text[0] == "+", text[1], text[3:]) for text in changes]
    return await store.database.write(irc.change_modes, ChangeModes(chat, made, actor=actor), store.now, 1_000, SERVER)


async def join(store: StoreHarness, account: AccountId, chat: ChatId, key: str = "") -> object:
    request = RequestMembership(chat, "", actor=account, key=key)
    return await store.database.write(request_membership, request, store.head, store.limits, store.now, SERVER)


async def invite(store: StoreHarness, actor: AccountId, chat: ChatId, account: AccountId) -> None:
    await store.database.write(irc.invite, Invite(chat, account, actor=actor), LATER, store.now)


async def muted(store: StoreHarness, chat: ChatId) -> set[AccountId]:
    return set(await store.database.read(chats.muted_by_masks, chat, SERVER))


async def add_guest(store: StoreHarness, nick: str) -> None:
    seed = profile_seed(GUEST, f"{nick} (guest)")
    seed.nick, seed.guest = nick, "~g"
    await store.database.write(profiles.add_profile, seed, store.now)


# Handles


async def test_a_handle_is_unique_whatever_its_ascii_case_until_it_is_given_up(populated: StoreHarness) -> None:
    chat = await make(populated, "Äpfel")

    async def found(handle: str) -> ChatId | None:
        return await populated.database.read(chats.find_handle, handle)

    assert (await found("ÄPFEL"), await found("äpfel")) == (chat.id, None)
    taken = await rejection(make(populated, "ÄPFEL", BOB))
    assert (taken.code, taken.reason) == (ErrorCode.CONFLICT, Reason.TAKEN)
    other = await make(populated, "äpfel", BOB)

    async def set_handle(handle: str) -> None:
        await populated.database.write(chats.set_chat, other.id, BOB, {"handle": handle}, NOW, 1_000)

    assert (await rejection(set_handle("ÄpfeL"))).reason is Reason.TAKEN
    await set_handle("äPFEL")
    await populated.disband(ANN, chat.id)
    assert await found("Äpfel") is None
    await set_handle("Äpfel")
    await populated.leave_all_chats(BOB)
    assert (await make(populated, "ÄPFEL", CEM)).handle == "ÄPFEL"


async def test_groups_are_listed_by_handle_and_each_page_ends(
    populated: StoreHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(irc, "_PAGE", 2)
    own = [(await populated.create_group(EVE)).id for _ in range(2)]
    named = [(await make(populated, handle)).id for handle in ("aa", "Bb", "cc")]
    await change(populated, (await make(populated, "dd")).id, ANN, "+s")
    first, more = await populated.database.read(irc.list_groups, ListGroups(actor=EVE))
    assert ([one.chat.id for one in first], more) == ([*own, *named[:2]], True)
    second, more = await populated.database.read(irc.list_groups, ListGroups("Bb", actor=EVE))
    assert ([one.chat.id for one in second], more) == ([named[2]], False)


# Modes


async def test_a_member_changes_no_modes_and_an_admin_no_roles(populated: StoreHarness, group: ChatId) -> None:
    assert (await rejection(change(populated, group, CEM, "+m"))).reason is Reason.NOT_ADMIN
    assert (await rejection(change(populated, group, DAN, "+m"))).code is ErrorCode.FORBIDDEN
    assert (await rejection(change(populated, group, BOB, "+m", "+o 3"))).reason is Reason.NOT_OWNER
    assert (await populated.changes(group)).muted == {}
    assert [one.mode for one in (await change(populated, group, BOB, "+m", "+v 3", "-o 2")).changes] == ["m", "v", "o"]


async def test_what_cannot_be_set_changes_nothing(populated: StoreHarness, group: ChatId) -> None:
    before = await populated.chat(group, ANN)
    for wanted in ("+k a b", "+k", "+k :a", "+l 0", "+l x", "+b", "+b a b", "+b a\nb", "+x", "+\0"):
        assert (await rejection(change(populated, group, ANN, "+s", wanted))).code is ErrorCode.INVALID
        assert await populated.chat(group, ANN) == before


async def test_repeated_modes_change_nothing(populated: StoreHarness, group: ChatId) -> None:
    wanted = ("+m", "+k key", "+l 5", "+s", "+b Bad!*@*", "+v 3", "+o 3", "-t")
    first = await change(populated, group, ANN, *wanted)
    assert (len(first.changes), first.version) == (len(wanted), 2)
    again = await change(populated, group, ANN, *wanted[:4], "+b BAD!*@*", *wanted[5:], "+o 1", "-q 2", "-q 3")
    assert (again.changes, again.version) == ([], 2)
    assert (await populated.chat(group, ANN)).owner == ANN
    assert roles((await populated.changes(group)).members) == {ANN: Role.OWNER, BOB: Role.ADMIN, CEM: Role.ADMIN}
    removed = await change(populated, group, ANN, "-b BAD!*@*", "-k", "-l", "-m", "+t", "-s")
    assert len(removed.changes) == 6
    stored = await populated.chat(group, ANN)
    assert (stored.join_key, stored.most_members, "".join(sorted(stored.modes))) == ("", 0, "nt")


async def test_a_member_that_is_removed_meanwhile_sets_no_topic(populated: StoreHarness, group: ChatId) -> None:
    await change(populated, group, ANN, "-t")
    removed = threading.Event()

    def remove(connection: sa.Connection) -> None:
        departures.end_membership(connection, EndMembership(group, CEM, actor=ANN), NOW, 512)
        removed.set()
        if connection.dialect.name == "postgresql":
            block_until(lambda: connection.execute(_WAITING).scalar_one() > 0)

    removing = asyncio.create_task(populated.database.write(remove))
    await asyncio.to_thread(removed.wait, WAIT_SECONDS)
    late = populated.database.write(chats.set_chat, group, CEM, {"topic": "late"}, NOW, 512)
    assert (await rejection(late)).code == ErrorCode.FORBIDDEN
    await removing


async def test_a_silenced_group_has_speakers(populated: StoreHarness, group: ChatId) -> None:
    await change(populated, group, ANN, "+m", "+v 3")
    page = await populated.changes(group)
    assert (page.speakers, NO_ACCOUNT in page.muted) == ([CEM], True)


# Masks


async def test_masks_ban_mute_and_except(populated: StoreHarness, group: ChatId) -> None:
    await add_guest(populated, "Gus")
    for wanted, may_join, may_post in (
        ("+b gus!*@*", False, False),
        ("+b m:*!~g@6.irc.*", True, False),
        ("+b a:6", True, True),
        ("+b a:3", True, True),
    ):
        await change(populated, group, ANN, wanted)
        if may_join:
            assert isinstance(await join(populated, GUEST, group), StartedJoin)
        else:
            assert (await rejection(join(populated, GUEST, group))).reason is Reason.BANNED
            await change(populated, group, ANN, "+e GUS!*@*")
            assert isinstance(await join(populated, GUEST, group), StartedJoin)
            assert GUEST not in await muted(populated, group)
            await change(populated, group, ANN, "-e gus!*@*")
        assert (GUEST not in await muted(populated, group)) is may_post, wanted
        await change(populated, group, ANN, wanted.replace("+", "-", 1))
        await populated.end_membership(GUEST, group, GUEST)
    await change(populated, group, ANN, "+b a:?")
    assert await muted(populated, group) == {CEM}


async def test_a_part_of_a_mask_is_completed_when_it_is_set_and_removed(populated: StoreHarness, group: ChatId) -> None:
    for sign in "+-":
        done = await change(populated, group, ANN, f"{sign}b gus", f"{sign}e m:a@b", f"{sign}I a:6")
        assert [one.text for one in done.changes] == ["gus!*@*", "m:*!a@b", "a:6"]


async def test_a_mode_without_a_parameter_has_no_text(populated: StoreHarness, group: ChatId) -> None:
    await change(populated, group, ANN, "+l 5")
    done = await change(populated, group, ANN, "+s *", "+i *", "+m *", "-l *")
    assert [one.text for one in done.changes] == [""] * 4


def test_masks_with_many_stars_do_not_take_long() -> None:
    assert masks.pattern("*a" * 90 + "b").fullmatch("a" * 150) is None
    assert masks.pattern("A*b?*").fullmatch("axxbc")


async def test_the_masks_of_a_deleted_account_stay_without_its_name(populated: StoreHarness, group: ChatId) -> None:
    await change(populated, group, BOB, "+b x!*@*")
    await populated.remove_data(BOB)
    assert await populated.database.read(masks.list_masks, group, "b") == [Mask("x!*@*", "", NOW)]


# Joining


async def test_key_limit_and_invitation(populated: StoreHarness, group: ChatId) -> None:
    await change(populated, group, ANN, "+k key", "+l 4")
    for wrong in ("kez", "é", ""):
        assert (await rejection(join(populated, DAN, group, wrong))).reason is Reason.WRONG_KEY
    assert isinstance(await join(populated, DAN, group, "key"), StartedJoin)
    assert (await rejection(join(populated, EVE, group, "key"))).code is ErrorCode.LIMIT
    await change(populated, group, ANN, "+i")
    assert (await rejection(invite(populated, CEM, group, EVE))).reason is Reason.NOT_ADMIN
    await invite(populated, BOB, group, EVE)
    assert isinstance(await join(populated, EVE, group), StartedJoin)
    await populated.end_membership(ANN, group, EVE)
    assert (await rejection(join(populated, EVE, group, "key"))).code is ErrorCode.LIMIT


async def test_an_invitation_ends_with_its_time_a_ban_or_the_group(populated: StoreHarness, group: ChatId) -> None:
    await change(populated, group, ANN, "+i")
    await invite(populated, ANN, group, DAN)
    await populated.ban(ANN, group, DAN)
    assert (await rejection(join(populated, DAN, group))).reason is Reason.BANNED
    await populated.unban(ANN, group, DAN)
    populated.now = LATER
    assert (await rejection(join(populated, DAN, group))).reason is Reason.CLOSED
    populated.now = NOW
    await populated.disband(ANN, group)
    assert (await rejection(join(populated, DAN, group))).reason is Reason.CLOSED


async def test_only_the_invitations_of_admins_overrule_a_ban_and_are_limited(
    populated: StoreHarness, group: ChatId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "_MOST", 1)
    await change(populated, group, ANN, "+b a:4")
    await invite(populated, CEM, group, DAN)
    assert (await rejection(join(populated, DAN, group))).reason is Reason.BANNED
    await invite(populated, BOB, group, DAN)
    assert (await rejection(invite(populated, BOB, group, EVE))).code is ErrorCode.LIMIT
    assert isinstance(await join(populated, DAN, group), StartedJoin)


async def test_an_account_that_blocks_is_not_invited(populated: StoreHarness, group: ChatId) -> None:
    await populated.set_blocked(DAN, ANN)
    assert (await rejection(invite(populated, ANN, group, DAN))).reason is Reason.BLOCKED


# Guests


async def test_a_guest_owns_no_group_and_the_group_ends_with_its_last_member(populated: StoreHarness) -> None:
    await add_guest(populated, "Gus")
    chat = await make(populated, "Guests", GUEST, BOB, CEM)
    assert (chat.owner, chat.ownerless) == (NO_ACCOUNT, True)
    await change(populated, chat.id, GUEST, "+o 2")
    assert (await rejection(change(populated, chat.id, GUEST, "+q 2"))).code is ErrorCode.FORBIDDEN
    assert (await rejection(populated.give_role(GUEST, chat.id, BOB, Role.OWNER))).code is ErrorCode.FORBIDDEN
    await change(populated, chat.id, BOB, "-o 6")
    for account in (GUEST, BOB, CEM):
        left: list[LeftChat] = await populated.leave_all_chats(account)
        assert [one.next_owner for one in left] == [NO_ACCOUNT]
    assert await populated.database.read(chats.find_handle, "guests") is None
    assert (await rejection(join(populated, DAN, chat.id))).reason is Reason.CLOSED


async def test_a_nick_belongs_to_one_account(populated: StoreHarness) -> None:
    await add_guest(populated, "Gus")
    await populated.database.write(profiles.set_nick, ANN, "GUS", NOW)
    await populated.database.write(profiles.set_nick, BOB, "bob", NOW)
    await populated.database.write(profiles.set_nick, BOB, "Bob", NOW)

    async def check(account: AccountId, nick: str) -> str:
        return await populated.database.write(profiles.check_nick, account, nick)

    assert (await rejection(check(GUEST, "BOB"))).reason is Reason.TAKEN
    assert (await rejection(check(BOB, "Rob"))).code is ErrorCode.FORBIDDEN
    assert await check(GUEST, "GUS") == "Gus"
    found = await populated.database.read(profiles.find_profiles, [ANN, BOB])
    assert [found[account].nick for account in (ANN, BOB)] == ["", "Bob"]
    await populated.database.write(profiles.erase_profile, GUEST, "u", NOW)
    await populated.database.write(profiles.set_nick, ANN, "GUS", NOW)
    assert (await populated.database.read(profiles.find_profiles, [ANN]))[ANN].nick == "GUS"


async def test_strangers_post_where_the_mode_is_off_and_no_mask_bans(populated: StoreHarness, group: ChatId) -> None:
    async def strangers_post() -> bool:
        return (await populated.changes(group)).strangers_post

    assert not await strangers_post()
    before = (await change(populated, group, ANN, "-n")).version
    assert await strangers_post()
    assert (await change(populated, group, ANN, "+b a!*@*")).version > before
    assert not await strangers_post()
    await change(populated, group, ANN, "-b a!*@*")
    assert await strangers_post()


async def test_a_banned_stranger_does_not_post_until_the_ban_ends(populated: StoreHarness, group: ChatId) -> None:
    async def muted() -> dict[AccountId, int]:
        return dict((await populated.changes(group)).muted)

    await populated.ban(ANN, group, EVE, NOW + 5)
    assert await muted() == {}  # non-members may not write
    await change(populated, group, ANN, "-n")
    assert (await populated.changes(group)).strangers_post
    assert await muted() == {EVE: NOW + 5}
    version = (await populated.changes(group)).version
    assert (await populated.ban(ANN, group, EVE, NOW + 5)).version == version
    assert (await populated.ban(ANN, group, EVE)).version == version + 1
    assert await muted() == {EVE: ALWAYS}
    assert await populated.unban(ANN, group, EVE) == version + 2
    assert await muted() == {}


async def test_the_later_end_of_a_ban_and_a_silence_counts(populated: StoreHarness, group: ChatId) -> None:
    await change(populated, group, ANN, "-n")
    await populated.silence(ANN, group, CEM, NOW + 9)
    await populated.ban(ANN, group, CEM, NOW + 5)
    assert (await populated.changes(group)).muted == {CEM: NOW + 9}
    await populated.ban(ANN, group, CEM)
    assert (await populated.changes(group)).muted == {CEM: ALWAYS}
