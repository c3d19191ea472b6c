"""Chats have more members, accounts have more chats, and chats have more messages than one reply contains."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.cli.admin import chats, export
from services.cli.admin.bus_client import AdminClient, connected_client
from services.cli.admin.trail import search_trail
from shared.bus.client import Bus
from shared.contract import subjects as on
from shared.contract.admin import ListOwnReports, OwnReports, SearchTrail, UserView
from shared.contract.auth import ListLogins, Logins, LoginView
from shared.contract.body import pack_segments
from shared.contract.bots import BotList, ListBots
from shared.contract.contacts import ListRequests, Requests
from shared.contract.drafts import GetDraft, SavedDraft
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.made import ListMade, Made, MadeWebhook
from shared.contract.message import Devices, GetHeads, GetHistory, Heads, History, ListDevices
from shared.contract.metadata import ListMetadata, MetadataList, MetadataValue
from shared.contract.model import Chat, ChatKind, Emoji, JoinPolicy, Message, Profile, ProfileSummary, Role, Text
from shared.contract.own_settings import GetOwnSettings, OwnSettings
from shared.contract.push import ListSubscriptions, SubscriptionList
from shared.contract.session import (
    AccountView,
    ChatEntry,
    ChatList,
    ChatView,
    GetAccount,
    GetChat,
    GetMembership,
    GetProfileSummaries,
    ListChats,
    Member,
    Membership,
    ProfileSummaries,
)
from tests.support.servers import NatsServer
from tests.unit.services.cli.admin.recording_auth import RecordingTrail
from tests.unit.services.cli.installed import installed

ANN, BOB = AccountId(1), AccountId(2)
MEMBERS = 2_500
HEAD = 450
CHATS = 5
LEFT = AccountId(7)
WEBHOOK = MadeWebhook("h", ChatId(1), ANN, "Grafana", 1)
LOGIN = LoginView("a1", 1, 2, "192.0.2.1", "pipe")
USER = UserView(
    account=ANN, uuid="", email="", username="", nickname="", created=0, disabled=False, schemes=[], recoverable=False
)


class PagingSession:
    """A fake of session with pages of 1,000 members and of two chats.

    Account 7 has left. Account 1 becomes an admin while pages are read.
    """

    def __init__(self, server: NatsServer) -> None:
        self.bus = Bus(server.settings("session"), "session", CollectorRegistry())
        self.bus.serve(GetChat.route, self._chat)
        self.bus.serve(GetMembership.route, self._members)
        self.bus.serve(GetProfileSummaries.route, self._summaries)
        self.bus.serve(ListChats.route, self._chats)
        self.bus.serve(GetAccount.route, self._account)
        self.bus.serve(ListRequests.route, self._requests)
        self.bus.serve(ListOwnReports.route, self._reports)
        self.bus.serve(ListMade.route, self._made)
        self.bus.serve(GetOwnSettings.route, self._settings)
        self.bus.serve(ListSubscriptions.route, self._subscriptions)
        self.bus.serve(ListMetadata.route, self._metadata)
        self.members = [Member(AccountId(n), Role.LEFT if n == LEFT else Role.MEMBER, 1, n) for n in range(1, MEMBERS)]
        self.members.append(Member(ANN, Role.ADMIN, 1, MEMBERS))

    async def _chat(self, request: GetChat) -> ChatView:
        assert request.all
        chat = Chat(id=request.chat, kind=ChatKind.GROUP, name="", owner=BOB, join_policy=JoinPolicy.OPEN)
        return ChatView(chat, [])

    async def _members(self, request: GetMembership) -> Membership:
        left = [one for one in self.members if (one.version, one.account) > request.after]
        return Membership(request.chat, MEMBERS, left[:1000], more=len(left) > 1000)

    async def _summaries(self, request: GetProfileSummaries) -> ProfileSummaries:
        assert len(request.accounts) <= 1000
        return ProfileSummaries({account: ProfileSummary(f"n{account}", "") for account in request.accounts})

    async def _chats(self, request: ListChats) -> ChatList:
        left = [ChatEntry(ChatId(n), 1, 1) for n in range(1, CHATS + 1) if n > request.after]
        return ChatList(left[:2], more=len(left) > 2)

    async def _account(self, request: GetAccount) -> AccountView:
        assert (request.account, request.actor, request.lists) == (ANN, ANN, True)
        return AccountView(Profile(id=ANN, uuid="", nickname="Ann"), [], [BOB])

    async def _made(self, request: ListMade) -> Made:
        return Made([WEBHOOK], [])

    async def _subscriptions(self, request: ListSubscriptions) -> SubscriptionList:
        return SubscriptionList([])

    async def _metadata(self, request: ListMetadata) -> MetadataList:
        return MetadataList([MetadataValue(request.account, request.chat, "color", "red")])

    async def _settings(self, request: GetOwnSettings) -> OwnSettings:
        return OwnSettings(1, "de")

    async def _reports(self, request: ListOwnReports) -> OwnReports:
        return OwnReports([])

    async def _requests(self, _: ListRequests) -> Requests:
        return Requests([], [])


class PagingMessages:
    """A history of chat 1, in which messages of Ann and Bob alternate."""

    def __init__(self, server: NatsServer) -> None:
        self.bus = Bus(server.settings("message"), "message", CollectorRegistry())
        self.bus.serve(GetHistory.route, self._history)
        self.bus.serve(GetHeads.route, self._heads)
        self.bus.serve(GetDraft.route, self._draft)
        self.bus.serve(ListDevices.route, self._devices)

    async def _devices(self, request: ListDevices) -> Devices:
        return Devices(["laptop"])

    async def _draft(self, request: GetDraft) -> SavedDraft:
        return SavedDraft(3, "not sent") if request.chat == 1 else SavedDraft()

    async def _history(self, request: GetHistory) -> History:
        assert (request.all, request.older) == (True, False)
        head = HEAD if request.chat == 1 else 0
        numbers = range(request.start, min(head, request.start + request.count - 1) + 1)
        return History([_message(request.chat, number) for number in numbers], head)

    async def _heads(self, request: GetHeads) -> Heads:
        return Heads({chat: HEAD for chat in request.chats})


class ListingAuth:
    """A fake of auth in which Ann has one login."""

    def __init__(self, server: NatsServer) -> None:
        self.bus = Bus(server.settings("auth"), "auth", CollectorRegistry())
        self.bus.serve(on.LIST_USER_LOGINS, self._logins)
        self.bus.serve(ListBots.route, self._bots)
        self.trail = RecordingTrail(self.bus)

    async def _logins(self, request: ListLogins) -> Logins:
        assert request.actor == ANN
        return Logins([LOGIN])

    async def _bots(self, request: ListBots) -> BotList:
        return BotList([])


def _message(chat: ChatId, number: int) -> Message:
    body = pack_segments((Text(f"t{number}"), Emoji(3)))
    return Message(chat, number, MessageId(number), BOB if number % 2 else ANN, number, body, Nonce(number))


@pytest.fixture
async def client(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[AdminClient]:
    peers = PagingSession(nats_server), PagingMessages(nats_server), ListingAuth(nats_server)
    buses = (peer.bus for peer in peers)
    async with installed(nats_server, tmp_path, *buses) as installation, connected_client(installation) as client:
        yield client


async def test_each_member_is_listed_once_in_the_latest_state(client: AdminClient) -> None:
    members = await chats.members(client, ChatId(1))
    assert [member.account for member in members] == [n for n in range(1, MEMBERS) if n != LEFT]
    assert (members[0].nickname, members[0].role, members[1].role) == ("n1", "admin", "member")
    assert members[-1].nickname == f"n{MEMBERS - 1}"
    assert (await chats.show(client, ChatId(1))).members == MEMBERS - 2


async def test_all_sent_messages_are_exported(client: AdminClient) -> None:
    found = await export.export(client, USER)
    assert [chat.chat.id for chat in found.chats] == list(range(1, CHATS + 1))
    assert [message.index for message in found.chats[0].sent] == list(range(2, HEAD + 1, 2))
    assert found.chats[0].sent[0].content == [{"text": "t2"}, {"emoji": 3}]
    assert [len(chat.sent) for chat in found.chats[1:]] == [0] * (CHATS - 1)
    assert (found.friends, found.logins, found.hooks) == ([BOB], [LOGIN], [WEBHOOK])
    assert found.metadata == [MetadataValue(ANN, ChatId(0), "color", "red")]
    assert found.devices == ["laptop"]
    assert [(act.act, act.account) for act in found.trail] == [("export", ANN)]


async def test_all_pages_of_the_trail_are_read(client: AdminClient) -> None:
    for number in range(1, 6):
        await client.record("show chat", detail=str(number))
    found = [act.detail async for act in search_trail(client, SearchTrail())]
    assert found == ["5", "4", "3", "2", "1"]
