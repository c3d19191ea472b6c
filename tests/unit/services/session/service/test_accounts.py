"""Tests profiles by requests over a real NATS, with a real Valkey."""

from shared.contract.contacts import ListPendingEvents, ListRequests, RequestFriendship, Requests
from shared.contract.edge import JoinedAt, MembershipAnswered, MembershipChanged, Notify, ProfileChanged
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId
from shared.contract.members import EndMembership, RequestMembership
from shared.contract.model import JoinPolicy, ProfileSummary, Role
from shared.contract.session import (
    ChatEntry,
    ChatList,
    EnsureProfile,
    FindAccounts,
    FoundAccounts,
    GetAccount,
    GetChat,
    GetProfileSummaries,
    ListChats,
    ProfileSummaries,
    RenameChat,
    SetProfile,
)
from shared.contract.subjects import notify
from tests.unit.services.session.service_harness import ANN, BOB, CEM, DAN, LOBBY, A, B, BusPeers, rejection

GUEST = AccountId(9)


async def test_profile_is_public_and_its_lists_are_private(peers: BusPeers) -> None:
    chat = (await peers.create(BOB, actor=ANN)).chat.id
    own = await peers.view(ANN, ANN)
    assert (own.profile.nickname, own.chats, own.friends) == ("n1", [chat], [])
    assert own.profile.created > 0
    foreign = await peers.view(ANN, BOB)
    assert (foreign.profile, foreign.chats, foreign.friends) == (own.profile, None, None)
    assert (await peers.view(ANN, ANN, lists=False)).chats is None


async def test_unknown_account_is_not_found(peers: BusPeers) -> None:
    for number in (0, 77, 2**63):
        assert (await rejection(peers.view(AccountId(number), ANN))).code == ErrorCode.NOT_FOUND


async def test_an_account_with_the_number_of_another_one_gets_none_of_its_data(peers: BusPeers) -> None:
    """Auth has lost its database, and assigns the same numbers again."""
    await peers.register(ANN)
    stranger = EnsureProfile(account=ANN, uuid="another", nickname="Eve", lobby=False)
    failure = await rejection(peers.edge.send(stranger))
    assert (failure.code, failure.text) == (ErrorCode.INTERNAL, "the number of this account belongs to another account")
    assert (await peers.view(ANN, ANN)).profile.nickname == "n1"


async def test_account_sets_only_its_own_profile(peers: BusPeers) -> None:
    before = (await peers.view(ANN, BOB)).profile
    await peers.edge.send(SetProfile(ANN, nickname="安", status=3, actor=ANN))
    after = (await peers.view(ANN, BOB)).profile
    assert (after.nickname, after.status) == ("安", 3)
    assert after.public_updated > before.public_updated
    failure = await rejection(peers.edge.send(SetProfile(ANN, nickname="x", actor=BOB)))
    assert failure.code == ErrorCode.FORBIDDEN
    for imitation in ("dragoman", "Drаgoman", "Dragoman."):
        imitating = SetProfile(ANN, nickname=imitation, actor=ANN)
        assert (await rejection(peers.edge.send(imitating))).field == "nickname"
    unknown = SetProfile(AccountId(77), nickname="x", actor=AccountId(77))
    assert (await rejection(peers.edge.send(unknown))).code == ErrorCode.NOT_FOUND


async def test_a_guest_that_has_registered_is_one_no_more_and_its_groups_learn_it(peers: BusPeers) -> None:
    guest = EnsureProfile(account=GUEST, uuid="u9", nickname="访客 gus", signature="Gus", nick="gus", guest="~g")
    await peers.edge.send(guest)
    await peers.create(ANN, actor=GUEST)
    user = EnsureProfile(account=GUEST, uuid="u9", nickname="Gus Gray", nick="gus")
    events = len(await peers.wait_for_events(notify(A), 1))
    for _ in range(2):
        await peers.edge.send(user)
    notified = [
        one for one in await peers.wait_for_events(notify(A), events + 1) if isinstance(one.event, ProfileChanged)
    ]
    assert [(one.event.registered, one.event.former_guest, sorted(one.recipients or [])) for one in notified] == [  # type: ignore[union-attr]
        (True, "~g", [ANN])
    ]
    await peers.edge.send(guest)
    profile = (await peers.view(GUEST, ANN)).profile
    assert (profile.nickname, profile.nick, profile.guest, profile.signature) == ("Gus Gray", "gus", "", "")


async def test_a_late_event_of_its_registration_gives_no_guest_its_first_nick_back(peers: BusPeers) -> None:
    guest = EnsureProfile(account=GUEST, uuid="u9", nickname="访客 gus", nick="gus", guest="~g")
    await peers.edge.send(guest)
    await peers.edge.send(SetProfile(GUEST, nickname="访客 gusto", nick="gusto", actor=GUEST))
    await peers.edge.send(guest)
    assert (await peers.view(GUEST, ANN)).profile.nick == "gusto"
    await peers.edge.send(EnsureProfile(account=GUEST, uuid="u9", nickname="Gus", nick="gray"))
    await peers.edge.send(guest)
    assert (await peers.view(GUEST, ANN)).profile.nick == "gray"


async def test_profile_change_notifies_friends_and_the_account(peers: BusPeers) -> None:
    await peers.befriend(ANN, BOB)
    before = len(await peers.wait_for_events(notify(A), 2)), len(await peers.wait_for_events(notify(B), 2))
    await peers.edge.send(SetProfile(ANN, icon_id=7, signature="hello", actor=ANN))
    changed = ProfileChanged((await peers.view(ANN, BOB)).profile, renamed=False)
    assert (changed.profile.icon_id, changed.profile.signature) == (7, "hello")
    on_a, on_b = (
        await peers.wait_for_events(notify(A), before[0] + 1),
        await peers.wait_for_events(notify(B), before[1] + 1),
    )
    assert (on_a[-1].event, sorted(on_a[-1].recipients or [])) == (changed, [ANN, BOB])
    assert on_b[-1] == Notify(changed, [BOB])
    await peers.edge.send(SetProfile(CEM, status=1, actor=CEM))
    await peers.edge.send(SetProfile(ANN, actor=ANN))
    await peers.edge.send(SetProfile(BOB, nickname="b", status=2, actor=BOB))
    last = (await peers.wait_for_events(notify(B), before[1] + 2))[before[1] + 1].event
    assert isinstance(last, ProfileChanged)
    assert (last.profile.id, last.renamed) == (BOB, True)


async def test_profile_summaries_include_deleted_accounts(peers: BusPeers) -> None:
    await peers.erase(CEM)
    accounts = [BOB, CEM, ANN, ANN, DAN, AccountId(0), AccountId(2**63)]
    summaries = (await peers.edge.send(GetProfileSummaries(accounts))).faces
    assert {account: summary.nickname for account, summary in summaries.items()} == {
        ANN: "n1",
        BOB: "n2",
        CEM: "已注销用户",
    }
    profile = (await peers.edge.send(GetAccount(ANN))).profile
    assert summaries[ANN] == ProfileSummary("n1", "u1", profile.public_updated)
    assert await peers.edge.send(GetProfileSummaries([])) == ProfileSummaries({})
    found = await peers.edge.send(GetProfileSummaries([ANN, AccountId(404)], profiles=True))
    assert found == ProfileSummaries({}, {ANN: (await peers.view(ANN, BOB)).profile})
    for most, profiles in ((1_000, False), (100, True)):
        many = GetProfileSummaries([AccountId(number) for number in range(1, most + 2)], profiles)
        assert (await rejection(peers.edge.send(many))).code == ErrorCode.LIMIT


async def test_accounts_are_found_by_uuid(peers: BusPeers) -> None:
    await peers.erase(CEM)
    found = await peers.edge.send(FindAccounts(["u2", "u1", "u3", "U1", "u\0", "", "u2"]))
    assert found == FoundAccounts({"u1": ANN, "u2": BOB})
    many = FindAccounts(["u"] * 5_001)
    assert (await rejection(peers.edge.send(many))).code == ErrorCode.LIMIT


# The lobby


async def test_registration_joins_the_lobby(peers: BusPeers) -> None:
    peers.heads[LOBBY] = 41
    await peers.presence.join(B, [AccountId(9)])
    await peers.register(9, lobby=True)
    entries = await peers.message.send(ListChats(AccountId(9)))
    assert entries == ChatList([ChatEntry(LOBBY, first_index=1, unread_from=42)])
    version = (await peers.changes(LOBBY)).version
    assert await peers.version(LOBBY) == version
    joined = MembershipChanged(
        LOBBY, AccountId(9), Role.MEMBER, 1, version, since=version - 2, joined_at=JoinedAt(41, 0)
    )
    answered = MembershipAnswered(LOBBY, "Lobby", AccountId(9), accepted=True, version=version)
    assert await peers.wait_for_events(notify(B), 2) == [
        Notify(joined, [AccountId(9)]),
        Notify(answered, [AccountId(9)]),
    ]


# Bots


async def test_a_bot_is_marked(peers: BusPeers) -> None:
    seed = EnsureProfile(account=AccountId(9), uuid="u9", nickname="Weather", bot=True)
    await peers.edge.send(seed)
    profile = (await peers.view(AccountId(9), ANN)).profile
    assert (profile.nickname, profile.bot) == ("Weather", True)
    assert (await peers.view(ANN, BOB)).profile.bot is False
    await peers.edge.send(SetProfile(AccountId(9), actor=AccountId(9), nickname="Ann"))
    assert (await peers.view(AccountId(9), ANN)).profile.bot is True


# Deletion


async def test_the_names_of_groups_give_up_a_deleted_nickname(peers: BusPeers) -> None:
    """This is about groups whose names were made from nicknames and never changed by a user."""
    await peers.befriend(ANN, BOB)
    made = (await peers.create(ANN, CEM, actor=BOB)).chat.id
    left = (await peers.create(BOB, actor=CEM)).chat.id
    await peers.edge.send(EndMembership(left, BOB, actor=BOB))
    named = (await peers.create(ANN, BOB, actor=CEM, name="n2、n1")).chat.id
    renamed = (await peers.create(ANN, actor=BOB)).chat.id
    await peers.edge.send(RenameChat(renamed, "n2 and n1", actor=BOB))
    await peers.erase(BOB)
    seen = {made: ANN, left: CEM, named: ANN, renamed: ANN}
    names = [(await peers.edge.send(GetChat(chat, actor=actor))).chat.name for chat, actor in seen.items()]
    assert names == ["n1、n3", "n3", "n2、n1", "n2 and n1"]


async def test_erased_account_leaves_its_chats(peers: BusPeers) -> None:
    chat = (await peers.create(BOB, CEM, actor=ANN)).chat.id
    await peers.erase(ANN)
    profile = (await peers.view(ANN, BOB)).profile
    assert (profile.nickname, profile.deleted, profile.uuid != "u1") == ("已注销用户", True, True)
    assert await peers.version(chat) == 2
    assert (await peers.edge.send(GetChat(chat, actor=BOB))).chat.owner == BOB
    assert (await rejection(peers.edge.send(GetChat(chat, actor=ANN)))).code == ErrorCode.FORBIDDEN
    changes = [
        one.event for one in await peers.wait_for_events(notify(B), 3) if isinstance(one.event, MembershipChanged)
    ]
    assert changes == [
        MembershipChanged(chat, ANN, Role.LEFT, 0, 2, by=ANN, gone=True),
        MembershipChanged(chat, BOB, Role.OWNER, 1, 2, since=2, by=ANN),
    ]  # fmt: skip


async def test_erased_account_has_no_pending_requests_or_events(peers: BusPeers) -> None:
    group = (await peers.create(actor=BOB, join_policy=JoinPolicy.APPROVAL)).chat.id
    await peers.befriend(ANN, CEM)
    await peers.edge.send(RequestFriendship(BOB, actor=ANN))
    await peers.edge.send(RequestMembership(group, actor=ANN))
    assert len((await peers.edge.send(ListPendingEvents(ANN))).kept) == 1
    await peers.erase(ANN)
    assert await peers.edge.send(ListRequests(actor=BOB)) == Requests([], [])
    assert (await peers.edge.send(ListPendingEvents(ANN))).kept == []
    assert (await peers.view(CEM, CEM)).friends == []
