"""Tests the operator's announcements by requests over a real NATS, with a real Valkey."""

from collections.abc import AsyncIterator
from typing import TypeVar

import pytest
import structlog
from prometheus_client import CollectorRegistry

from services.session.service import announcements
from shared.bus.client import Bus
from shared.contract import subjects as on
from shared.contract.admin import AccountList, AnnouncementsOpened, ListAccounts, OpenAnnouncements
from shared.contract.contacts import RequestFriendship
from shared.contract.edge import ChatCreated, Notify
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, SYSTEM_ACCOUNT, SYSTEM_UUID, AccountId, ChatId
from shared.contract.members import AddMember
from shared.contract.model import ChatKind, ProfileSummary
from shared.contract.routes import HasRoute
from shared.contract.session import GetChat, ListChats, OpenPrivateChat
from shared.contract.subjects import notify
from tests.support.servers import NatsServer, ValkeyServer
from tests.unit.services.session.service_harness import ANN, BOB, CEM, A, B, BusPeers, rejection

Q = TypeVar("Q")
R = TypeVar("R")

UNKNOWN = AccountId(77)


class AdminBusUser:
    """A client of NATS with the user `admin`."""

    def __init__(self, server: NatsServer) -> None:
        self.bus = Bus(server.settings("admin"), "admin", CollectorRegistry())

    async def send(self, request: HasRoute[R]) -> R:
        return await self.bus.send(request, seconds=5)

    async def open_announcements(self, *accounts: AccountId) -> AnnouncementsOpened:
        return await self.send(OpenAnnouncements(list(accounts)))


@pytest.fixture
async def operator(peers: BusPeers, nats_server: NatsServer) -> AsyncIterator[AdminBusUser]:
    operator = AdminBusUser(nats_server)
    await operator.bus.start()
    yield operator
    await operator.bus.stop()


async def test_all_accounts_are_listed_except_the_system_account(operator: AdminBusUser) -> None:
    assert await operator.send(ListAccounts()) == AccountList([ANN, BOB, CEM])
    assert await operator.send(ListAccounts(ANN)) == AccountList([BOB, CEM])


async def test_page_of_accounts_names_the_next_cursor(operator: AdminBusUser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcements, "_PAGE", 2)
    assert await operator.send(ListAccounts()) == AccountList([ANN, BOB], BOB)
    assert await operator.send(ListAccounts(BOB)) == AccountList([CEM], SYSTEM_ACCOUNT)
    assert await operator.send(ListAccounts(SYSTEM_ACCOUNT)) == AccountList([], NO_ACCOUNT)


async def test_online_accounts_are_listed_unless_presence_is_unknown(
    operator: AdminBusUser, valkey_server: ValkeyServer
) -> None:
    assert await operator.send(ListAccounts(online=True)) == AccountList([ANN, BOB])
    valkey_server.flush()
    failure = await rejection(operator.send(ListAccounts(online=True)))
    assert failure.code == ErrorCode.UNAVAILABLE


async def test_new_announcement_chat_notifies_the_node_of_its_account(peers: BusPeers, operator: AdminBusUser) -> None:
    opened = await operator.open_announcements(ANN, CEM, UNKNOWN, SYSTEM_ACCOUNT)
    face = ProfileSummary("Dragoman", SYSTEM_UUID, opened.face.version)
    assert (list(opened.chats), opened.face) == ([ANN, CEM], face)
    number = opened.chats[ANN]
    created = Notify(ChatCreated(number, SYSTEM_ACCOUNT, [ANN], 1, "Dragoman"), [ANN])
    assert await peers.wait_for_events(notify(A)) == [created]
    assert (peers.events[notify(B)], peers.events[on.NOTIFY_ALL]) == ([], [])
    assert await peers.version(number) == 1
    assert (await peers.message.send(ListChats(CEM))).entries[0].chat == opened.chats[CEM]
    chat = (await peers.edge.send(GetChat(number, actor=ANN))).chat
    assert (chat.kind, (await peers.changes(number)).speaker) == (ChatKind.SERVICE, SYSTEM_ACCOUNT)


async def test_existing_announcement_chat_is_reused_without_a_notification(
    peers: BusPeers, operator: AdminBusUser
) -> None:
    assert await operator.open_announcements(ANN) == await operator.open_announcements(ANN)
    await operator.open_announcements(BOB)
    await peers.wait_for_events(notify(B))
    assert len(peers.events[notify(A)]) == 2  # each account has one chat for announcements


async def test_opening_announcements_is_logged_with_the_number_of_accounts(
    operator: AdminBusUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcements, "_log", structlog.get_logger())  # the module's logger may be cached
    with structlog.testing.capture_logs() as entries:
        await operator.open_announcements(ANN, BOB, UNKNOWN)
    assert [(one["act"], one["by"], one["accounts"]) for one in entries if "act" in one] == [("announce", "admin", 2)]


async def test_number_of_announcement_recipients_is_limited(operator: AdminBusUser) -> None:
    failure = await rejection(operator.open_announcements(*[ANN] * 501))
    assert (failure.code, failure.field) == (ErrorCode.LIMIT, "accounts")


async def test_system_account_accepts_no_friends_groups_or_private_chats(peers: BusPeers) -> None:
    """This also holds if the chat exists."""
    group = (await peers.create(actor=ANN)).chat.id
    failures = [
        await rejection(peers.edge.send(RequestFriendship(SYSTEM_ACCOUNT, actor=ANN))),
        await rejection(peers.edge.send(OpenPrivateChat(SYSTEM_ACCOUNT, actor=ANN))),
        await rejection(peers.edge.send(AddMember(ChatId(group), SYSTEM_ACCOUNT, actor=ANN))),
        await rejection(peers.create(SYSTEM_ACCOUNT, actor=ANN)),
    ]
    assert [failure.code for failure in failures] == [ErrorCode.FORBIDDEN] * 3 + [ErrorCode.NOT_FOUND]
    assert failures[0].text == failures[1].text == "this account only sends announcements"
