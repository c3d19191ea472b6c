"""Chats with more members, accounts with more chats and chats with more messages than one answer holds."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.cli.admin import chats, export
from services.cli.admin.bus_client import AdminClient, connected_client
from shared.bus.client import Bus
from shared.contract import subjects as on
from shared.contract.admin import UserView
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.message import GetHeads, GetHistory, Heads, History
from shared.contract.model import (
    Chat,
    ChatKind,
    Emoji,
    JoinPolicy,
    Message,
    Profile,
    ProfileSummary,
    Role,
    Text,
    pack_segments,
)
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
    ListRequests,
    Member,
    Membership,
    ProfileSummaries,
    Requests,
)
from tests.support.servers import NatsServer
from tests.unit.services.cli.installed import beside

ANN, BOB = AccountId(1), AccountId(2)
PEOPLE = 2_500
SAID = 450
CHATS = 5
GONE = AccountId(7)
USER = UserView(
    account=ANN, uuid="", email="", username="", nickname="", created=0, disabled=False, schemes=[], recoverable=False
)


class Session:
    """Pages of a thousand members, of two chats. Account 7 has left; account 1 became an admin meanwhile."""

    def __init__(self, server: NatsServer) -> None:
        self.bus = Bus(server.settings("session"), "session", CollectorRegistry())
        self.bus.serve(on.GET_CHAT, self._chat)
        self.bus.serve(on.GET_MEMBERSHIP, self._members)
        self.bus.serve(on.GET_PROFILE_SUMMARIES, self._faces)
        self.bus.serve(on.LIST_CHATS, self._chats)
        self.bus.serve(on.GET_ACCOUNT, self._account)
        self.bus.serve(on.LIST_REQUESTS, self._requests)
        self.members = [Member(AccountId(n), Role.LEFT if n == GONE else Role.MEMBER, 1, n) for n in range(1, PEOPLE)]
        self.members.append(Member(ANN, Role.ADMIN, 1, PEOPLE))

    async def _chat(self, request: GetChat) -> ChatView:
        assert request.all
        chat = Chat(id=request.chat, kind=ChatKind.GROUP, name="", owner=BOB, join_policy=JoinPolicy.OPEN)
        return ChatView(chat, [])

    async def _members(self, request: GetMembership) -> Membership:
        left = [one for one in self.members if (one.version, one.account) > request.after]
        return Membership(request.chat, PEOPLE, left[:1000], more=len(left) > 1000)

    async def _faces(self, request: GetProfileSummaries) -> ProfileSummaries:
        assert len(request.accounts) <= 1000
        return ProfileSummaries({account: ProfileSummary(f"n{account}", "") for account in request.accounts})

    async def _chats(self, request: ListChats) -> ChatList:
        left = [ChatEntry(ChatId(n), 1, 1) for n in range(1, CHATS + 1) if n > request.after]
        return ChatList(left[:2], more=len(left) > 2)

    async def _account(self, request: GetAccount) -> AccountView:
        assert (request.account, request.actor, request.lists) == (ANN, ANN, True)
        return AccountView(Profile(id=ANN, uuid="", nickname="Ann"), [], [BOB])

    async def _requests(self, _: ListRequests) -> Requests:
        return Requests([], [])


class Messages:
    """In chat 1, Ann and Bob take turns."""

    def __init__(self, server: NatsServer) -> None:
        self.bus = Bus(server.settings("message"), "message", CollectorRegistry())
        self.bus.serve(on.GET_HISTORY, self._history)
        self.bus.serve(on.GET_HEADS, self._heads)

    async def _history(self, request: GetHistory) -> History:
        assert (request.all, request.older) == (True, False)
        head = SAID if request.chat == 1 else 0
        numbers = range(request.start, min(head, request.start + request.count - 1) + 1)
        return History([_message(request.chat, number) for number in numbers], head)

    async def _heads(self, request: GetHeads) -> Heads:
        return Heads({chat: SAID for chat in request.chats})


def _message(chat: ChatId, number: int) -> Message:
    body = pack_segments((Text(f"t{number}"), Emoji(3)))
    return Message(chat, number, MessageId(number), BOB if number % 2 else ANN, number, body, Nonce(number))


@pytest.fixture
async def client(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[AdminClient]:
    peers = Session(nats_server), Messages(nats_server)
    await asyncio.gather(*(peer.bus.start() for peer in peers))
    async with connected_client(beside(nats_server, tmp_path)) as client:
        yield client
    await asyncio.gather(*(peer.bus.stop() for peer in peers))


async def test_every_member_is_listed_once_as_seen_last(client: AdminClient) -> None:
    members = await chats.members(client, ChatId(1))
    assert [member.account for member in members] == [n for n in range(1, PEOPLE) if n != GONE]
    assert (members[0].nickname, members[0].role, members[1].role) == ("n1", "admin", "member")
    assert members[-1].nickname == f"n{PEOPLE - 1}"
    assert (await chats.show(client, ChatId(1))).members == PEOPLE - 2


async def test_everything_that_was_said_is_exported(client: AdminClient) -> None:
    found = await export.export(client, USER)
    assert [chat.chat.id for chat in found.chats] == list(range(1, CHATS + 1))
    assert [said.index for said in found.chats[0].sent] == list(range(2, SAID + 1, 2))
    assert found.chats[0].sent[0].content == [{"text": "t2"}, {"emoji": 3}]
    assert [len(chat.sent) for chat in found.chats[1:]] == [0] * (CHATS - 1)
    assert found.friends == [BOB]
