"""The accounts and chats that a query names.

`from:` takes the nickname of a friend or of a member of the searched chat. If there is none, it takes a username, with
the rules and limits of `find`. `in:` takes the name of a group of the actor. The reply is the same for a chat that does
not exist and for a chat of which the actor is no member.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from services.search.text.query import Named, QueryError
from shared.contract.contacts import LookUpAccounts
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import ChatKind
from shared.contract.routes import SendRequest
from shared.contract.session import GetAccount, GetChat, GetChats, GetProfileSummaries
from shared.names import fold

_SUMMARIES = 1_000
_CHATS = 500
_LISTED = 5
"""The most numbers that an error text lists."""


class NameResolver:
    """Finds the accounts and chats that a query names. Each method may raise QueryError and RequestError."""

    def __init__(self, request: SendRequest, seconds: float) -> None:
        self._request = request
        self._seconds = seconds

    async def chat(self, named: Named, actor: AccountId, chats: Sequence[ChatId]) -> ChatId:
        """The chat among `chats` that the query names. The actor is a member of all these chats."""
        if not named.name:
            if named.number in chats:
                return ChatId(named.number)
            raise _error(named, f"in: you are in no chat {named.number}")
        wanted, found = fold(named.name), list[ChatId]()
        for start in range(0, len(chats), _CHATS):
            request = GetChats(list(chats[start : start + _CHATS]), actor)
            views = await self._request(request, seconds=self._seconds, retry=True)
            found += [one.id for one in views.chats if one.kind is ChatKind.GROUP and fold(one.name) == wanted]
        return _only(found, named, "in: you are in no group of this name", "in: several groups have this name")

    async def sender(self, named: Named, actor: AccountId, chat: ChatId) -> AccountId:
        """The account that the query names as the sender. `chat`: the chat that is searched, or 0."""
        if not named.name:
            if not named.number:
                raise _error(named, "from: no account has this number")
            return AccountId(named.number)
        if named.is_me:
            return actor
        found = await self._known(fold(named.name), actor, chat) or await self._look_up(named.name, actor)
        return _only(found, named, "from: nobody has this name", "from: several accounts have this name")

    async def _known(self, wanted: str, actor: AccountId, chat: ChatId) -> list[AccountId]:
        own = GetAccount(actor, lists=True, actor=actor)
        view = await self._request(own, seconds=self._seconds, retry=True)
        known = {*(view.friends or ())}
        if chat:
            members = GetChat(chat, actor=actor)
            known.update((await self._request(members, seconds=self._seconds, retry=True)).members)
        accounts, found = sorted(known), list[AccountId]()
        for start in range(0, len(accounts), _SUMMARIES):
            page = GetProfileSummaries(accounts[start : start + _SUMMARIES])
            reply = await self._request(page, seconds=self._seconds, retry=True)
            found += [account for account, one in reply.faces.items() if fold(one.nickname) == wanted]
        return found

    async def _look_up(self, name: str, actor: AccountId) -> list[AccountId]:
        request = LookUpAccounts(name, actor)
        try:
            reply = await self._request(request, seconds=self._seconds)
        except RequestError as error:
            if error.failure.code is ErrorCode.INVALID:  # no username can have this form
                return []
            raise
        return reply.accounts


N = TypeVar("N", bound=int)


def _only(found: Iterable[N], named: Named, none: str, several: str) -> N:
    numbers = sorted({*found})
    if not numbers:
        raise _error(named, none)
    if len(numbers) > 1:
        raise _error(named, f"{several}: {', '.join(map(str, numbers[:_LISTED]))}")
    return numbers[0]


def _error(named: Named, text: str) -> QueryError:
    return QueryError(text, named.start, named.length)
