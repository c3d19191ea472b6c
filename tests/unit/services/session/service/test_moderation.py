"""Tests bans, silences and disbanded groups, by requests over a real NATS, with a real Valkey."""

from shared.clock import now_ms
from shared.contract.edge import ChatRenamed, MembershipChanged, Notify
from shared.contract.ephemeral import ChatSettingsChanged
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, ChatId
from shared.contract.members import (
    Ban,
    BanMember,
    CreateLink,
    DisbandChat,
    ListBans,
    SetChat,
    SilenceMember,
    UnbanMember,
)
from shared.contract.model import Role
from shared.contract.receipts import FindReceiptChats
from shared.contract.session import ChangeTimes, GetChat, GetChats, MemberSettings, MuteChat
from shared.contract.subjects import notify
from tests.unit.services.session.service_harness import ANN, BOB, CEM, A, B, BusPeers, rejection

LATER = 2**52


async def test_a_ban_is_announced_as_a_departure(peers: BusPeers) -> None:
    chat = (await peers.create(BOB, actor=ANN)).chat.id
    await peers.edge.send(BanMember(chat, BOB, LATER, actor=ANN))
    assert await peers.version(chat) == 2
    (time,) = await peers.happened(chat)
    left = MembershipChanged(chat, BOB, Role.LEFT, 0, 2, by=ANN, time=time)
    assert (await peers.wait_for_events(notify(B), 2))[1] == Notify(left, [BOB])
    assert (await peers.edge.send(ListBans(chat, actor=ANN))).bans == [Ban(BOB, LATER, ANN)]
    await peers.edge.send(UnbanMember(chat, BOB, actor=ANN))
    assert (await peers.edge.send(ListBans(chat, actor=ANN))).bans == []


async def test_a_silence_has_a_version(peers: BusPeers) -> None:
    chat = (await peers.create(BOB, actor=ANN)).chat.id
    await peers.edge.send(SilenceMember(chat, NO_ACCOUNT, LATER, actor=ANN))
    assert await peers.version(chat) == 2
    assert (await peers.changes(chat)).muted == {NO_ACCOUNT: LATER}


async def test_the_end_of_a_group_is_notified_to_each_member(peers: BusPeers) -> None:
    chat = (await peers.create(BOB, actor=ANN)).chat.id
    await peers.edge.send(DisbandChat(chat, actor=ANN))
    assert await peers.version(chat) == 2
    for node, account in ((A, ANN), (B, BOB)):
        left = MembershipChanged(chat, account, Role.LEFT, 0, 2, by=ANN, disbanded=True)
        assert (await peers.wait_for_events(notify(node), 2))[1] == Notify(left, [account])


async def test_an_invalid_ban_is_rejected(peers: BusPeers) -> None:
    for request, code in (
        (BanMember(ChatId(9), BOB), ErrorCode.UNAUTHENTICATED),
        (BanMember(ChatId(9), BOB, -1, actor=ANN), ErrorCode.INVALID),
        (BanMember(ChatId(9), ANN, 0, actor=ANN), ErrorCode.INVALID),
        (BanMember(ChatId(2**63), CEM, 0, actor=ANN), ErrorCode.NOT_FOUND),
    ):
        assert (await rejection(peers.edge.send(request))).code == code


async def test_a_new_name_and_new_settings_are_announced(peers: BusPeers) -> None:
    before = (await peers.create(BOB, actor=ANN)).chat
    chat = before.id
    await peers.edge.send(SetChat(chat, receipts=False, actor=ANN))
    settings = ChatSettingsChanged(chat, ANN, "", "", "", before.join_policy, receipts=False)
    changed = ChatRenamed(chat, before.name, ANN, renamed=False, settings=settings)
    assert (await peers.wait_for_events(notify(B), 2))[1] == Notify(changed, [BOB])
    assert (await peers.edge.send(FindReceiptChats([chat]))).members == {}
    await peers.edge.send(SetChat(chat, "Fruit", True, actor=ANN, topic="words"))
    assert (await peers.edge.send(FindReceiptChats([chat]))).members == {chat: 2}
    (time,) = await peers.happened(chat)
    settings = ChatSettingsChanged(chat, ANN, "", "", "words", before.join_policy, receipts=True, topic_time=time)
    renamed = ChatRenamed(chat, "Fruit", ANN, settings=settings)
    assert (await peers.wait_for_events(notify(B), 3))[2] == Notify(renamed, [BOB])
    await peers.edge.send(SetChat(chat, actor=ANN))
    rejected = await rejection(peers.edge.send(SetChat(chat, "", actor=ANN)))
    assert (rejected.code, rejected.field) == (ErrorCode.INVALID, "name")


async def test_new_times_of_edits_and_recalls_have_a_version(peers: BusPeers) -> None:
    """The message service gets the version earlier than the client gets the reply."""
    before = (await peers.create(BOB, actor=ANN)).chat
    chat = before.id
    await peers.edge.request(SetChat.rules_route, SetChat(chat, actor=ANN, edit_seconds=60, recall_seconds=0))
    assert await peers.version(chat) == 2
    assert (await peers.changes(chat)).change_times == ChangeTimes(60, 0)
    settings = ChatSettingsChanged(chat, ANN, "", "", "", before.join_policy, True, 60, 0)
    changed = ChatRenamed(chat, before.name, ANN, renamed=False, settings=settings)
    assert (await peers.wait_for_events(notify(B), 2))[1] == Notify(changed, [BOB])
    await peers.edge.request(SetChat.rules_route, SetChat(chat, actor=ANN, edit_seconds=None, topic="words"))
    assert await peers.version(chat) == 3
    assert (await peers.changes(chat)).change_times == ChangeTimes(None, 0)
    await peers.edge.send(SetChat(chat, actor=ANN, receipts=False))
    assert await peers.version(chat) == 3
    await peers.edge.request(SetChat.rules_route, SetChat(chat, actor=ANN, history_for_new=True))
    assert await peers.version(chat) == 3
    assert (await peers.edge.send(GetChat(chat, actor=BOB))).chat.history_for_new is True
    rejected = await rejection(peers.edge.request(SetChat.rules_route, SetChat(chat, actor=BOB, edit_seconds=60)))
    assert (rejected.code, rejected.field) == (ErrorCode.FORBIDDEN, "chat")


async def test_a_member_mutes_a_chat(peers: BusPeers) -> None:
    chat = (await peers.create(BOB, actor=ANN)).chat.id
    await peers.edge.send(MuteChat(chat, LATER, actor=BOB))
    assert (await peers.edge.send(GetChats([chat], BOB))).mutes == {chat: MemberSettings(LATER)}
    assert (await peers.edge.send(GetChat(chat, actor=BOB))).mute == MemberSettings(LATER)
    assert (await peers.edge.send(GetChat(chat, actor=ANN))).mute is None
    for request, code, field in (
        (MuteChat(chat, -1, actor=BOB), ErrorCode.INVALID, "until"),
        (MuteChat(chat, LATER, actor=CEM), ErrorCode.FORBIDDEN, "chat"),
        (MuteChat(ChatId(0), LATER, actor=BOB), ErrorCode.NOT_FOUND, "chat"),
        (MuteChat(chat, LATER), ErrorCode.UNAUTHENTICATED, ""),
    ):
        failure = await rejection(peers.edge.send(request))
        assert (failure.code, failure.field) == (code, field)


async def test_a_time_in_the_past_is_rejected(peers: BusPeers) -> None:
    """A time in the past is in most cases a time in seconds in place of milliseconds."""
    chat = (await peers.create(BOB, actor=ANN)).chat.id
    edge, seconds, just_now = peers.edge, now_ms() // 1000, now_ms() - 1_000
    for failed in (
        await rejection(edge.send(BanMember(chat, BOB, seconds, actor=ANN))),
        await rejection(edge.send(SilenceMember(chat, BOB, seconds, actor=ANN))),
        await rejection(edge.send(MuteChat(chat, seconds, actor=BOB))),
        await rejection(edge.send(CreateLink(chat, expires=seconds, actor=ANN))),
    ):
        assert (failed.code, failed.field in ("until", "expires")) == (ErrorCode.INVALID, True)
        assert "is in the past: the unit is Unix milliseconds" in failed.text
    assert (await edge.send(SilenceMember(chat, BOB, just_now, actor=ANN))).version
    assert (await edge.send(SilenceMember(chat, BOB, 0, actor=ANN))).version
