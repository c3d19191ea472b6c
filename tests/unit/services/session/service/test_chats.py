"""Tests chats by requests over a real NATS, with a real Valkey."""

import asyncio

import pytest
import structlog

from services.session import domain
from services.session.service import chats, memberships
from shared.bus.client import pack
from shared.clock import now_ms
from shared.contract import subjects as on
from shared.contract.edge import ChatCreated, ChatRenamed, Notify
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId, ChatId
from shared.contract.members import MemberList, MemberRole
from shared.contract.model import Chat, ChatKind, JoinPolicy, ProfileSummary, Role
from shared.contract.session import (
    ChatEntry,
    ChatList,
    ChatOpened,
    ChatsFound,
    ChatView,
    ChatViews,
    ChatWithMembers,
    CreateChat,
    GetChat,
    GetChats,
    GetMembership,
    ListChats,
    ListChatViews,
    MarkReadTime,
    Member,
    Membership,
    OpenPrivateChat,
    RenameChat,
)
from shared.contract.subjects import notify
from shared.settings.limits import LimitsSettings
from tests.support.servers import ValkeyServer
from tests.unit.services.session.service_harness import ANN, BOB, CEM, DAN, A, B, BusPeers, eventually, rejection


async def test_version_of_a_new_chat_is_published_before_the_reply(peers: BusPeers) -> None:
    chat = (await peers.create(BOB, BOB, ANN, actor=ANN)).chat
    assert await peers.version(chat.id) == 1
    assert (chat.owner, chat.name) == (ANN, "n1、n2")
    for requested, members in ((0, [ANN, BOB]), (1, [ANN]), (100, [ANN, BOB]), (-1, [ANN, BOB])):
        request = GetChat(chat.id, actor=BOB, members=requested)
        assert await peers.edge.send(request) == ChatView(chat, members)


async def test_operator_reads_a_chat_without_membership_and_is_logged(
    peers: BusPeers, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = (await peers.create(BOB, BOB, ANN, actor=ANN)).chat
    monkeypatch.setattr(chats, "_log", structlog.get_logger())  # the module's logger may be cached
    with structlog.testing.capture_logs() as entries:
        assert await peers.edge.send(GetChat(chat.id, all=True)) == ChatView(chat, [ANN, BOB])
    assert [(entry["act"], entry["chat"]) for entry in entries if "act" in entry] == [("show chat", chat.id)]
    assert (await rejection(peers.edge.send(GetChat(chat.id)))).code == ErrorCode.FORBIDDEN
    missing = GetChat(ChatId(chat.id + 99), all=True)
    assert (await rejection(peers.edge.send(missing))).code == ErrorCode.NOT_FOUND


async def test_several_chats_are_found_without_those_of_others(peers: BusPeers) -> None:
    one, other = (await peers.create(BOB, actor=ANN)).chat, (await peers.create(CEM, actor=BOB)).chat
    request = GetChats([one.id, other.id, ChatId(2**63 + 1)], ANN)
    assert await peers.edge.send(request) == ChatsFound([one], roles={one.id: Role.OWNER})
    assert (await rejection(peers.edge.send(GetChats([one.id] * 501, ANN)))).code is ErrorCode.LIMIT


async def test_new_chat_notifies_the_nodes_of_its_members(peers: BusPeers) -> None:
    chat = (await peers.create(BOB, CEM, actor=ANN)).chat.id
    (on_a,), (on_b,) = await peers.wait_for_events(notify(A)), await peers.wait_for_events(notify(B))
    assert sorted(on_a.recipients or []) == [ANN, BOB]
    numbers = await peers.pending_numbers(BOB)
    assert on_b == Notify(ChatCreated(chat, ANN, [BOB], 1, "n1、n2、n3", numbers), [BOB])
    assert isinstance(on_a.event, ChatCreated)
    assert (on_a.event.members, on_a.event.kept) == (on_a.recipients, numbers)
    assert len(await peers.pending_numbers(CEM)) == 1
    assert peers.events[on.NOTIFY_ALL] == []


async def test_unknown_presence_notifies_all_nodes(peers: BusPeers, valkey_server: ValkeyServer) -> None:
    valkey_server.flush()
    chat = (await peers.create(BOB, actor=ANN)).chat.id
    created = ChatCreated(chat, ANN, [ANN, BOB], 1, "n1、n2", await peers.pending_numbers(BOB))
    assert await peers.wait_for_events(on.NOTIFY_ALL) == [Notify(created, [ANN, BOB])]


async def test_number_of_listed_members_is_limited(peers: BusPeers) -> None:
    created = await peers.create(CEM, BOB, actor=ANN)
    assert created.members == [ANN, CEM]
    assert await peers.edge.send(GetChat(created.chat.id, actor=BOB)) == created


async def test_invalid_new_chat_is_rejected(peers: BusPeers) -> None:
    failures = [
        await rejection(peers.create(77, actor=ANN)),
        await rejection(peers.create(4, 5, 6, 7, actor=ANN)),
        await rejection(peers.edge.send(CreateChat(members=[BOB]))),
        await rejection(peers.create(BOB, actor=ANN, name="x" * 129)),
    ]
    assert [(failure.code, failure.field) for failure in failures] == [
        (ErrorCode.NOT_FOUND, "members"), (ErrorCode.LIMIT, "members"), (ErrorCode.UNAUTHENTICATED, ""),
        (ErrorCode.TOO_LARGE, "name"),
    ]  # fmt: skip
    assert "77" in failures[0].text
    assert await peers.chats(ANN) == []


async def test_only_members_read_a_chat(peers: BusPeers) -> None:
    chat = (await peers.create(actor=ANN)).chat.id
    failures = [
        await rejection(peers.edge.send(GetChat(number, actor=actor)))
        for number, actor in ((chat, BOB), (ChatId(99), BOB), (ChatId(2**63), BOB), (ChatId(0), BOB))
    ]
    assert [failure.code for failure in failures] == [ErrorCode.FORBIDDEN] + [ErrorCode.NOT_FOUND] * 3
    assert len({failure.text for failure in failures}) == 1


# Private chats


async def open_private(peers: BusPeers, actor: AccountId, account: AccountId) -> ChatOpened:
    return await peers.edge.send(OpenPrivateChat(account, actor=actor))


async def test_two_accounts_share_one_private_chat(peers: BusPeers) -> None:
    opened = await asyncio.gather(*(open_private(peers, *pair) for pair in ((ANN, BOB), (BOB, ANN)) * 4))
    assert set(opened) == {ChatOpened(opened[0].chat, (ANN, BOB))}
    number = opened[0].chat
    view = await peers.edge.send(GetChat(number, actor=BOB))
    assert (view.chat.kind, view.chat.join_policy, sorted(view.members)) == (
        ChatKind.PRIVATE, JoinPolicy.CLOSED, [ANN, BOB]
    )  # fmt: skip
    assert await peers.version(number) == 1
    assert (await peers.changes(number)).pair == (ANN, BOB)
    entries = await peers.message.send(ListChats(BOB))
    assert entries == ChatList([ChatEntry(number, 1, 1, (ANN, BOB))])
    (on_b,) = await peers.wait_for_events(notify(B))
    assert isinstance(on_b.event, ChatCreated)
    assert (on_b.event.chat, on_b.event.members, on_b.recipients) == (number, [BOB], [BOB])


async def test_invalid_private_chat_is_rejected(peers: BusPeers) -> None:
    before = (await open_private(peers, ANN, CEM)).chat
    await peers.erase(CEM)
    codes = [(await rejection(open_private(peers, ANN, account))).code for account in (ANN, CEM, DAN, AccountId(2**63))]
    assert codes == [ErrorCode.INVALID] + [ErrorCode.NOT_FOUND] * 3
    assert (await rejection(open_private(peers, AccountId(0), ANN))).code == ErrorCode.UNAUTHENTICATED
    assert (await peers.edge.send(GetChat(before, actor=ANN))).members == [ANN]


# Renaming


async def test_rename_notifies_all_members(peers: BusPeers) -> None:
    before = (await peers.create(BOB, CEM, actor=ANN)).chat
    await peers.edge.send(RenameChat(before.id, "新|名", actor=ANN))
    after = (await peers.edge.send(GetChat(before.id, actor=BOB))).chat
    assert (after.name, after.version) == ("新|名", before.version)
    assert after.updated > before.updated
    renamed = ChatRenamed(before.id, "新|名", ANN)
    assert (await peers.wait_for_events(notify(B), 2))[1] == Notify(renamed, [BOB])
    assert sorted((await peers.wait_for_events(notify(A), 2))[1].recipients or []) == [ANN, BOB]


async def test_invalid_rename_is_rejected(peers: BusPeers) -> None:
    group = (await peers.create(BOB, actor=ANN)).chat.id
    private = (await open_private(peers, ANN, BOB)).chat
    attempts = [
        RenameChat(group, "x", actor=BOB), RenameChat(group, "x", actor=CEM), RenameChat(private, "x", actor=ANN),
        RenameChat(ChatId(99), "x", actor=ANN), RenameChat(group, "", actor=ANN),
        RenameChat(group, "x" * 129, actor=ANN), RenameChat(group, "x"),
    ]  # fmt: skip
    failures = [await rejection(peers.edge.send(attempt)) for attempt in attempts]
    assert [failure.code for failure in failures] == [
        ErrorCode.FORBIDDEN, ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND, ErrorCode.NOT_FOUND, ErrorCode.INVALID,
        ErrorCode.TOO_LARGE, ErrorCode.UNAUTHENTICATED,
    ]  # fmt: skip


# Views


async def views(peers: BusPeers, actor: AccountId, after: int = 0) -> ChatViews:
    return await peers.edge.send(ListChatViews(ChatId(after), actor=actor))


async def test_chats_are_listed_with_profile_summaries(peers: BusPeers) -> None:
    group = (await peers.create(BOB, actor=CEM)).chat
    private = (await open_private(peers, ANN, BOB)).chat
    await peers.create(CEM, actor=ANN)
    found = await views(peers, BOB)
    assert found.chats[0] == ChatWithMembers(group, [ProfileSummary("n3", "u3"), ProfileSummary("n2", "u2")])
    assert (found.chats[1].chat.id, found.chats[1].chat.kind) == (private, ChatKind.PRIVATE)
    assert found.chats[1].members == [ProfileSummary("n1", "u1"), ProfileSummary("n2", "u2")]
    assert (len(found.chats), found.more) == (2, False)
    assert [one.chat.id for one in (await views(peers, BOB, group.id)).chats] == [private]
    assert await views(peers, DAN) == ChatViews([])


async def test_pages_of_views_are_limited_in_bytes(peers: BusPeers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chats, "_VIEWS_BYTES", 250)
    await peers.befriend(ANN, BOB)
    numbers = [(await peers.create(BOB, actor=ANN)).chat.id for _ in range(3)]
    listed: list[Chat] = []
    after = 0
    while (page := await views(peers, ANN, after)).more:
        assert len(pack(page)) < 320
        listed += [one.chat for one in page.chats]
        after = listed[-1].id
    assert [chat.id for chat in listed] + [one.chat.id for one in page.chats] == numbers
    monkeypatch.setattr(chats, "_VIEWS_BYTES", 12)
    alone = await views(peers, ANN)
    assert (alone.chats[0].members, alone.more) == ([ProfileSummary("n1", "u1")], True)


# Versions


async def test_version_missing_in_redis_is_republished(peers: BusPeers, valkey_server: ValkeyServer) -> None:
    await peers.register(ANN)
    chats = [(await peers.create(actor=ANN)).chat.id for _ in range(3)]
    valkey_server.flush()
    for chat in chats[:2]:
        await peers.message.send(GetMembership(chat, unnamed=True))
    await peers.message.send(GetMembership(chats[2]))

    async def named() -> set[ChatId]:
        return set((await peers.presence.lookup(chats=chats)).versions)

    await eventually(named, lambda found: found == set(chats[:2]))


async def test_messages_of_the_future_are_not_read(peers: BusPeers) -> None:
    """The clock of a client may be ahead."""
    chat = (await peers.create(BOB, BOB, ANN, actor=ANN)).chat.id
    for time in (now_ms() + 3_600_000, 2**53 - 1):
        moved = await peers.edge.send(MarkReadTime(chat, time, actor=ANN))
        assert moved.time <= now_ms() + domain.LATE_MS
        assert await peers.edge.send(MarkReadTime(chat, actor=ANN)) == moved


# Page sizes


def test_full_pages_fit_the_bus_limit() -> None:
    most, account = 2**63 - 1, AccountId(2**63 - 1)
    members = [Member(account, Role.OWNER, most, most, most)] * chats._MEMBERS_PAGE
    assert len(pack(Membership(ChatId(most), most, members, more=True))) < 512 * 1024
    entries = [ChatEntry(ChatId(most), most, most, (account, account))] * chats._CHATS_PAGE
    assert len(pack(ChatList(entries, more=True))) < 512 * 1024
    named = [MemberRole(account, Role.OWNER, most, "名" * 64, "a" * 2048)] * memberships._MEMBERS_PAGE
    assert len(pack(MemberList(named, more=True))) < 512 * 1024
    listed = [most] * LimitsSettings().members_listed
    assert len(pack((listed, listed))) < 512 * 1024
