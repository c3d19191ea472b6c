"""The use cases over the real bus, with a real Valkey."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.session import service as service_module
from shared import presence
from shared.bus import pack
from shared.contract import subjects as on
from shared.contract.edge import ChatCreated, MembershipChanged, Notify
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.model import Role
from shared.contract.session import (
    AccountView,
    ChatEntry,
    ChatList,
    ChatView,
    CreateChat,
    GetAccount,
    GetChat,
    ListChats,
    Member,
    Membership,
    SetProfile,
)
from shared.contract.subjects import notify
from shared.settings import Limits
from tests.servers import NatsServer, ValkeyServer
from tests.services.session.running import Peers, eventually, refusal, service, settings_for

A, B = NodeId("edge-1-a"), NodeId("edge-2-b")
ANN, BOB, CEM = (AccountId(number) for number in (1, 2, 3))
LOBBY = ChatId(1)


@pytest.fixture
async def peers(
    nats_server: NatsServer, valkey_server: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Peers]:
    """The service runs; Ann is on node A, Bob on A and B, Cem is offline."""
    monkeypatch.setattr(presence, "_TRUST_SECONDS", 0.0)
    peers = Peers(nats_server, valkey_server)
    peers.hear(A, B)
    limits = Limits(chats_per_account=3, members_per_group=4, members_listed=2)
    settings = settings_for(nats_server, valkey_server, f"sqlite:///{tmp_path / 'session.db'}", limits)
    async with peers.running(), service(settings):
        await peers.register(ANN, BOB, CEM)
        await peers.presence.beat(A, 10)
        await peers.presence.join(A, [ANN, BOB])
        await peers.presence.join(B, [BOB])
        yield peers


async def told(peers: Peers, subject: str, count: int = 1) -> list[Notify]:
    async def probe() -> list[Notify]:
        return peers.told[subject]

    return await eventually(probe, lambda found: len(found) >= count)


async def view(peers: Peers, account: AccountId, actor: AccountId, lists: bool = True) -> AccountView:
    return await peers.edge.ask(on.GET_ACCOUNT, GetAccount(account, lists, actor))


async def test_a_profile_is_shown_to_everybody_its_lists_to_oneself(peers: Peers) -> None:
    chat = (await peers.create(BOB, actor=ANN)).chat.id
    own = await view(peers, ANN, ANN)
    assert (own.profile.nickname, own.chats, own.friends) == ("n1", [chat], [])
    assert own.profile.created > 0
    foreign = await view(peers, ANN, BOB)
    assert (foreign.profile, foreign.chats, foreign.friends) == (own.profile, None, None)
    assert (await view(peers, ANN, ANN, lists=False)).chats is None


@pytest.mark.parametrize("number", [0, 77, 2**63])
async def test_who_never_was_is_not_found(peers: Peers, number: int) -> None:
    assert (await refusal(view(peers, AccountId(number), ANN))).code == ErrorCode.NOT_FOUND


async def test_setting_ones_own_profile(peers: Peers) -> None:
    before = (await view(peers, ANN, BOB)).profile
    await peers.edge.ask(on.SET_PROFILE, SetProfile(ANN, nickname="安", status=3, actor=ANN))
    after = (await view(peers, ANN, BOB)).profile
    assert (after.nickname, after.status) == ("安", 3)
    assert after.public_updated > before.public_updated
    failure = await refusal(peers.edge.ask(on.SET_PROFILE, SetProfile(ANN, nickname="x", actor=BOB)))
    assert failure.code == ErrorCode.FORBIDDEN
    unknown = SetProfile(AccountId(77), nickname="x", actor=AccountId(77))
    assert (await refusal(peers.edge.ask(on.SET_PROFILE, unknown))).code == ErrorCode.NOT_FOUND


async def test_a_new_chats_version_is_published_before_the_reply(peers: Peers) -> None:
    chat = (await peers.create(BOB, BOB, ANN, actor=ANN)).chat
    assert await peers.version(chat.id) == 1
    assert (chat.owner, chat.name) == (ANN, "n1、n2")
    assert await peers.edge.ask(on.GET_CHAT, GetChat(chat.id, BOB)) == ChatView(chat, [ANN, BOB])


async def test_a_new_chat_is_told_to_the_nodes_of_its_members(peers: Peers) -> None:
    chat = (await peers.create(BOB, CEM, actor=ANN)).chat.id
    (on_a,), (on_b,) = await told(peers, notify(A)), await told(peers, notify(B))
    assert sorted(on_a.recipients or []) == [ANN, BOB]
    assert on_b == Notify(ChatCreated(chat, ANN, [BOB], 1), [BOB])
    assert isinstance(on_a.notice, ChatCreated)
    assert on_a.notice.members == on_a.recipients
    assert peers.told[on.NOTIFY_ALL] == []


async def test_when_presence_is_unknown_all_nodes_are_told(peers: Peers, valkey_server: ValkeyServer) -> None:
    valkey_server.flush()
    chat = (await peers.create(BOB, actor=ANN)).chat.id
    assert await told(peers, on.NOTIFY_ALL) == [Notify(ChatCreated(chat, ANN, [ANN, BOB], 1), [ANN, BOB])]


async def test_no_more_members_are_listed_than_the_limit_allows(peers: Peers) -> None:
    made = await peers.create(CEM, BOB, actor=ANN)
    assert made.members == [ANN, CEM]
    assert await peers.edge.ask(on.GET_CHAT, GetChat(made.chat.id, BOB)) == made


async def test_what_is_refused_of_a_new_chat(peers: Peers) -> None:
    failures = [
        await refusal(peers.create(77, actor=ANN)),
        await refusal(peers.create(4, 5, 6, 7, actor=ANN)),
        await refusal(peers.edge.ask(on.CREATE_CHAT, CreateChat(members=[BOB]))),
        await refusal(peers.create(BOB, actor=ANN, name="x" * 129)),
    ]
    assert [(failure.code, failure.field) for failure in failures] == [
        (ErrorCode.NOT_FOUND, "members"), (ErrorCode.LIMIT, "members"), (ErrorCode.UNAUTHENTICATED, ""),
        (ErrorCode.TOO_LARGE, "name"),
    ]  # fmt: skip
    assert "77" in failures[0].text
    assert await peers.chats(ANN) == []


async def test_the_limit_of_chats_holds_over_the_bus(peers: Peers) -> None:
    attempts = await asyncio.gather(*(peers.create(BOB, actor=ANN) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(attempt, ChatView) for attempt in attempts) == 3
    assert (await refusal(peers.create(actor=ANN))).code == ErrorCode.LIMIT


async def test_a_chat_is_for_its_members(peers: Peers) -> None:
    chat = (await peers.create(actor=ANN)).chat.id
    failures = [
        await refusal(peers.edge.ask(on.GET_CHAT, GetChat(number, actor)))
        for number, actor in ((chat, BOB), (ChatId(99), BOB), (ChatId(2**63), BOB), (ChatId(0), BOB))
    ]
    assert [failure.code for failure in failures] == [ErrorCode.FORBIDDEN] + [ErrorCode.NOT_FOUND] * 3
    assert len({failure.text for failure in failures}) == 1


# The lobby


async def test_whoever_registers_for_the_lobby_joins_it(peers: Peers) -> None:
    peers.heads[LOBBY] = 41
    await peers.presence.join(B, [AccountId(9)])
    await peers.register(9, lobby=True)
    entries = await peers.message.ask(on.LIST_CHATS, ListChats(AccountId(9)))
    assert entries == ChatList([ChatEntry(LOBBY, first_index=1, unread_from=42)])
    version = (await peers.changes(LOBBY)).version
    assert await peers.version(LOBBY) == version
    joined = MembershipChanged(LOBBY, AccountId(9), Role.MEMBER, 1, version)
    assert await told(peers, notify(B)) == [Notify(joined, [AccountId(9)])]


async def test_registering_again_changes_nothing(peers: Peers) -> None:
    await peers.register(9, lobby=True)
    before = await peers.changes(LOBBY), await view(peers, AccountId(9), ANN)
    peers.heads[LOBBY] = 5
    await asyncio.gather(*(peers.register(9, lobby=True) for _ in range(5)))
    assert (await peers.changes(LOBBY), await view(peers, AccountId(9), ANN)) == before


# Deletion


async def test_an_erased_account_leaves_everything(peers: Peers) -> None:
    chat = (await peers.create(BOB, CEM, actor=ANN)).chat.id
    await peers.erase(ANN)
    profile = (await view(peers, ANN, BOB)).profile
    assert (profile.nickname, profile.deleted, profile.uuid != "u1") == ("已注销用户", True, True)
    assert await peers.version(chat) == 2
    assert (await peers.edge.ask(on.GET_CHAT, GetChat(chat, BOB))).chat.owner == BOB
    assert (await refusal(peers.edge.ask(on.GET_CHAT, GetChat(chat, ANN)))).code == ErrorCode.FORBIDDEN
    changes = [one.notice for one in await told(peers, notify(B), 3) if isinstance(one.notice, MembershipChanged)]
    assert changes == [
        MembershipChanged(chat, ANN, Role.LEFT, 0, 2), MembershipChanged(chat, BOB, Role.OWNER, 1, 2)
    ]  # fmt: skip


async def test_an_erased_account_is_not_brought_back(peers: Peers) -> None:
    await peers.erase(ANN)
    before = await view(peers, ANN, BOB)
    await peers.register(ANN, lobby=True)
    await peers.erase(ANN)
    assert await view(peers, ANN, BOB) == before
    assert (await refusal(peers.create(ANN, actor=BOB))).code == ErrorCode.NOT_FOUND
    assert (await refusal(peers.create(BOB, actor=ANN))).code == ErrorCode.NOT_FOUND


# Sizes


def test_full_pages_fit_on_the_bus() -> None:
    most, account = 2**63 - 1, AccountId(2**63 - 1)
    members = [Member(account, Role.OWNER, most, most, most)] * service_module._MEMBERS_PAGE
    assert len(pack(Membership(ChatId(most), most, members, more=True))) < 512 * 1024
    entries = [ChatEntry(ChatId(most), most, most)] * service_module._CHATS_PAGE
    assert len(pack(ChatList(entries, more=True))) < 512 * 1024
    listed = [most] * Limits().members_listed
    assert len(pack((listed, listed))) < 512 * 1024
