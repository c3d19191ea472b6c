"""The database of a message service, an index that follows it, and searches. The replies of session are prepared."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.message.adapters.member_list_cache import MemberListCache
from services.message.domain import ChangePermissions
from services.message.metrics import MessageMetrics
from services.message.service.following import MessageFeed
from services.message.store import MessageStore
from services.search.index.directory import IndexDirectory
from services.search.metrics import SearchMetrics
from services.search.service.answering import ChatLists, TextSearch
from services.search.service.following import Follower
from services.search.service.names import NameResolver
from shared.clock import now_ms
from shared.contract.body import pack_segments
from shared.contract.contacts import AccountsLookedUp
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.following import FollowChats, ListPositions, MovedChats, News, PositionPage
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import ChangeMessage, Draft, EditText, React, RecallText
from shared.contract.model import Chat, ChatKind, JoinPolicy, Profile, ProfileSummary, Role, Segment, Text
from shared.contract.search import SearchMessages, SearchPage
from shared.contract.session import (
    AccountView,
    ChatEntry,
    ChatList,
    ChatsFound,
    ChatView,
    GetAccount,
    GetChat,
    GetChats,
    GetMembership,
    GetProfileSummaries,
    ListChats,
    Member,
    Membership,
    MembershipVersions,
    ProfileSummaries,
)
from shared.database import Database
from shared.settings.messages import MessageSettings

ANN, BOB = AccountId(1), AccountId(2)
ROOM, HALL, LOFT = ChatId(1), ChatId(2), ChatId(3)
ALL = ChangePermissions(1, 0, 0, leads=True, pins=True)
_MEMORY = 16 * 2**20


def _group(chat: ChatId) -> Chat:
    name = {ROOM: "Room", HALL: "Hall", LOFT: "Loft"}[chat]
    return Chat(id=chat, kind=ChatKind.GROUP, name=name, owner=ANN, join_policy=JoinPolicy.OPEN)


class Session:
    """A fake session service.

    ANN is a member of ROOM, and of HALL from its third message on. BOB is a member of LOFT.
    """

    def __init__(self) -> None:
        self.first = {ANN: {ROOM: 1, HALL: 3}, BOB: {LOFT: 1}}
        self.version = 1
        self.lists = 0

    async def request(self, request: object, **_: object) -> Any:
        """Replies to requests that look up names. Bob is a friend of all users."""
        match request:
            case GetAccount():
                return AccountView(Profile(id=ANN, uuid="", nickname=""), friends=[BOB])
            case GetProfileSummaries():
                return ProfileSummaries({BOB: ProfileSummary("Bob", "")})
            case GetChat(chat):
                return ChatView(_group(chat), [ANN, BOB])
            case GetChats(chats):
                return ChatsFound([*map(_group, chats)])
            case _:
                return AccountsLookedUp([])

    async def list_chats(self, request: ListChats) -> ChatList:
        self.lists += 1
        own = self.first.get(request.account, {})
        return ChatList([ChatEntry(chat, own[chat], own[chat]) for chat in sorted(own) if chat > request.after])

    async def membership(self, request: GetMembership) -> Membership:
        version = self.version
        members = [
            Member(account, Role.MEMBER if request.chat in own else Role.LEFT, own.get(request.chat, 0), version, 1)
            for account, own in self.first.items()
        ]
        return Membership(request.chat, version, members)


class Peers:
    def __init__(
        self,
        database: Database,
        directory: Path,
        settings: MessageSettings | None = None,
        now: Callable[[], int] | None = None,
    ) -> None:
        """`now`: the clock of message; if there is none, each message has its own millisecond."""
        self.path = directory
        self.store = MessageStore(database, now or count(now_ms()).__next__)
        self.session = Session()
        self.member_lists = MemberListCache(self.session.membership, MessageMetrics(CollectorRegistry()))
        self.feed = MessageFeed(self.store, self.member_lists, self._versions, settings or MessageSettings())
        self.requests = 0
        self.is_away = False
        """Whether the message service is unavailable, so that it sends no news."""
        self.answers = False
        """Whether this process receives searches. `searching` replies to searches in any case."""
        self.retention_days, self.clock = 0.0, now_ms
        self._nonce, self._announced = 0, 0
        self.start()

    def start(self) -> None:
        """Starts a new process of search."""
        self.directory, metrics = IndexDirectory(self.path, _MEMORY), SearchMetrics(CollectorRegistry())
        self.follower = Follower(
            lambda request: self.positions(request), lambda request: self.news(request), self.directory, metrics,
            self._answer, self.retention_days, lambda: self.clock(),
        )  # fmt: skip
        self.chats = ChatLists(self.session.list_chats, self.session.membership)
        names = NameResolver(self.session.request, 1.0)
        self.searching = TextSearch(
            self.directory, self.follower.indexed_to, self.chats.of, self.feed.visible, names, metrics
        )

    async def _answer(self, answers: bool) -> None:
        self.answers = answers

    async def close(self) -> None:
        await self.follower.close()
        await self.searching.close()

    async def positions(self, request: ListPositions) -> PositionPage:
        self.requests += 1
        return await self.feed.positions(request)

    async def news(self, request: FollowChats) -> News:
        self.requests += 1
        if self.is_away:
            raise RequestError(ErrorCode.UNAVAILABLE, "unavailable")
        return await self.feed.follow(request)

    @contextmanager
    def without_news(self) -> Iterator[None]:
        """Inside this context, requests to the message service for news fail."""
        self.is_away = True
        with pytest.raises(RequestError, match="unavailable"):
            yield
        self.is_away = False

    async def _versions(self, chats: object) -> dict[ChatId, int]:
        return dict.fromkeys((ROOM, HALL, LOFT), self.session.version)

    async def post(self, chat: ChatId, *texts: str | Segment, sender: AccountId = ANN) -> None:
        for text in texts:
            self._nonce += 1
            segment = Text(text) if isinstance(text, str) else text
            await self.store.post([Draft(sender, chat, Nonce(self._nonce), 2**62, pack_segments((segment,)))])

    async def change(self, chat: ChatId, index: int, made: EditText | RecallText | React) -> None:
        await self.store.change(ChangeMessage(chat, index, made, ANN), ALL)

    def join(self, account: AccountId, chat: ChatId, first: int) -> None:
        """Makes the account join the chat, or leave it if `first` is 0."""
        self.session.version += 1
        self.session.first[account].pop(chat, None)
        if first:
            self.session.first[account][chat] = first
        self.announce_members(chat)

    def announce_members(self, chat: ChatId) -> None:
        message = MembershipVersions({chat: self.session.version})
        self.chats.announce(message)
        self.member_lists.announce(message.versions)

    def announce(self) -> None:
        if moved := self.store.take_moved():
            self._announced += 1
            self.follower.receive(MovedChats("message-1", 1, self._announced, sorted(moved)))

    async def index(self) -> None:
        self.announce()
        await self.follower.catch_up()

    async def page(self, query: str, actor: AccountId = ANN, **others: object) -> SearchPage:
        return await self.searching.search(SearchMessages(query, actor=actor, **others))  # type: ignore[arg-type]

    async def found(self, query: str, actor: AccountId = ANN, **others: object) -> list[tuple[ChatId, int]]:
        return [(hit.chat, hit.index) for hit in (await self.page(query, actor, **others)).hits]

    async def rejected(self, query: str, **others: object) -> tuple[ErrorCode, str]:
        with pytest.raises(RequestError) as caught:
            await self.page(query, **others)  # type: ignore[arg-type]
        return caught.value.failure.code, caught.value.failure.field
