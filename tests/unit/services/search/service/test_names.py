"""Tests names in queries: which senders and which chat they mean, and the texts of errors."""

from typing import Any

import pytest

from services.search.service.names import NameResolver
from services.search.text.query import Named, QueryError, parse
from shared.contract.contacts import AccountsLookedUp, LookUpAccounts
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Chat, ChatKind, JoinPolicy, Profile, ProfileSummary
from shared.contract.session import (
    AccountView,
    ChatsFound,
    ChatView,
    GetAccount,
    GetChat,
    GetChats,
    GetProfileSummaries,
    ProfileSummaries,
)

ME = AccountId(1)
NICKNAMES = {2: "Ann", 3: "Bob B", 4: "ANN", 5: "Zoë"}
FRIENDS, MEMBERS = [AccountId(2), AccountId(3)], [ME, AccountId(4), AccountId(5)]
GROUPS = {10: "Book club", 11: "Fruit", 12: "fruit", **dict.fromkeys(range(100, 700), "x"), 700: "Last"}


class Services:
    """Fake services that reply as auth and session do."""

    def __init__(self) -> None:
        self.looked_up: list[str] = []

    async def request(self, request: Any, **_: object) -> Any:
        match request:
            case GetAccount(account=account, actor=actor):
                assert account == actor == ME
                return AccountView(Profile(id=ME, uuid="u1", nickname="Me"), friends=FRIENDS)
            case GetChat(chat=chat, actor=actor):
                assert actor == ME
                return ChatView(group(chat, GROUPS[chat]), MEMBERS)
            case GetProfileSummaries(accounts):
                return ProfileSummaries({one: ProfileSummary(NICKNAMES.get(one, ""), "") for one in accounts})
            case GetChats(chats, actor):
                assert actor == ME
                assert len(chats) <= 500
                return ChatsFound([group(one, GROUPS[one]) for one in chats])
            case LookUpAccounts(identifier, actor):
                assert actor == ME
                self.looked_up.append(identifier)
                if identifier == "?":
                    raise RequestError(ErrorCode.INVALID, "no name", "name")
                return AccountsLookedUp([AccountId(9)] if identifier == "carol" else [])
        raise AssertionError(request)


def group(chat: int, name: str) -> Chat:
    return Chat(id=ChatId(chat), kind=ChatKind.GROUP, name=name, owner=ME, join_policy=JoinPolicy.OPEN)


def named(query: str) -> Named:
    parsed = parse(query)
    found = parsed.sender or parsed.chat
    assert found is not None
    return found


async def test_a_sender_is_found() -> None:
    for query, chat, account in (
        ("from:77", 0, 77),
        ("from:me", 0, ME),
        ("from:ann", 0, 2),
        ('from:"bob b"', 0, 3),
        ("from:ZOË", 10, 5),
        ("from:@carol", 0, 9),
        ("from:carol", 10, 9),
    ):
        assert await NameResolver(Services().request, 1.0).sender(named(query), ME, ChatId(chat)) == account


@pytest.mark.parametrize(
    ("query", "chat", "error"),
    [
        ("from:ann", 10, "from: several accounts have this name: 2, 4"),
        ("from:zoë", 0, "from: nobody has this name"),
        ("from:?", 0, "from: nobody has this name"),
    ],
)
async def test_a_sender_is_unknown_or_ambiguous(query: str, chat: int, error: str) -> None:
    with pytest.raises(QueryError) as caught:
        await NameResolver(Services().request, 1.0).sender(named(query), ME, ChatId(chat))
    assert caught.value.rejection(query).failure.text == f"{error} (character 6, {query[5:]})"


async def test_friends_are_not_looked_up_among_all() -> None:
    """A lookup of a friend's name among all users would show auth for whom the actor searches, and count for the
    actor's limit.
    """
    services = Services()
    await NameResolver(services.request, 1.0).sender(named("from:ann"), ME, ChatId(0))
    assert services.looked_up == []


@pytest.mark.parametrize(("query", "chat"), [("in:10", 10), ('in:"BOOK club"', 10), ("in:#last", 700)])
async def test_a_chat_is_found_among_the_own_ones(query: str, chat: int) -> None:
    assert await NameResolver(Services().request, 1.0).chat(named(query), ME, [*map(ChatId, GROUPS)]) == chat


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("in:9", "in: you are in no chat 9"),
        ("in:nothing", "in: you are in no group of this name"),
        ("in:fruit", "in: several groups have this name: 11, 12"),
    ],
)
async def test_a_chat_is_unknown_or_ambiguous(query: str, error: str) -> None:
    with pytest.raises(QueryError) as caught:
        await NameResolver(Services().request, 1.0).chat(named(query), ME, [*map(ChatId, GROUPS)])
    assert caught.value.text == error
