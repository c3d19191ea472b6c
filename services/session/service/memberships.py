"""How people get into groups."""

from collections.abc import Awaitable, Callable
from functools import partial

from services.session import domain
from services.session.adapters.edge_notifier import Notices, Told
from services.session.domain import LOBBY
from services.session.store import memberships
from services.session.store.memberships import Applied
from shared.contract.edge import MembershipAnswered, MembershipApplied, MembershipChanged
from shared.contract.ids import AccountId, ChatId
from shared.contract.session import (
    Ack,
    AddMember,
    AnswerMembership,
    MembershipRequested,
    RequestMembership,
)
from shared.database import Database, now_ms
from shared.settings import Settings

Head = Callable[[ChatId], Awaitable[int]]
"""The last index of a chat, asked of message. Raises Refused."""


class Joins:
    def __init__(self, database: Database, notices: Notices, head: Head, settings: Settings) -> None:
        self._database = database
        self._notices = notices
        self._head = head
        self._limits = settings.limits
        self._many = settings.message.broadcast_members

    async def join_lobby(self, account: AccountId) -> None:
        """Idempotent. Raises Refused when message does not answer."""
        head = await self._head(LOBBY)
        join = partial(memberships.join_lobby, account=account, head=head, now=now_ms())
        if (version := await self._database.write(join)) is not None:
            await self.complete(LOBBY, account, version)

    async def request_membership(self, request: RequestMembership) -> MembershipRequested:
        domain.check_actor(request.actor)
        domain.check_chat(request.chat)
        domain.check_request(request.text)
        head = await self._head(request.chat)
        join = partial(memberships.request, asked=request, head=head, limits=self._limits, now=now_ms())
        outcome = await self._database.write(join)
        if isinstance(outcome, Applied):
            applied = MembershipApplied(request.actor, request.chat, request.text)
            await self._notices.announce({}, [Told(applied, outcome.hosts)])
            return MembershipRequested(joined=False, name=outcome.name)
        await self.complete(request.chat, request.actor, outcome.version)
        return MembershipRequested(joined=True, name=outcome.name)

    async def answer_membership(self, request: AnswerMembership) -> Ack:
        domain.check_actor(request.actor)
        domain.check_chat(request.chat)
        domain.check_account(request.applicant, "applicant")
        head = await self._head(request.chat)
        answer = partial(memberships.answer, asked=request, head=head, limits=self._limits, now=now_ms())
        outcome = await self._database.write(answer)
        if isinstance(outcome, MembershipAnswered):
            await self._notices.announce({}, [Told(outcome, [request.applicant])])
        else:
            await self.complete(request.chat, request.applicant, outcome.version)
        return Ack()

    async def add_member(self, request: AddMember) -> Ack:
        domain.check_actor(request.actor)
        domain.check_chat(request.chat)
        domain.check_account(request.account)
        head = await self._head(request.chat)
        add = partial(memberships.add, asked=request, head=head, limits=self._limits, now=now_ms())
        outcome = await self._database.write(add)
        await self.complete(request.chat, request.account, outcome.version)
        return Ack()

    async def complete(self, chat: ChatId, account: AccountId, version: int) -> None:
        """What was said before the version was published is not unread; what is said after it reaches the account.
        Raises Refused when message does not say how much that is; then it is to be done again."""
        await self._notices.announce({chat: version})
        unread_from = await self._head(chat) + 1
        settle = partial(
            memberships.settle, number=chat, account=account, unread_from=unread_from, now=now_ms(), many=self._many
        )
        if (settled := await self._database.write(settle)) is not None:
            joined = MembershipChanged(chat, account, settled.role, settled.first_index, settled.version)
            told = [Told(joined, settled.told), Told(settled.answered, settled.told)]
            await self._notices.announce({chat: settled.version}, told)
