"""Joining groups: the lobby, membership requests, members added by a friend."""

from functools import partial

from services.session import domain
from services.session.domain import LOBBY
from services.session.service.ports import ChangeNotifier, ChatHeads, Notification, SessionDatabase
from services.session.store import memberships
from services.session.store.memberships import AwaitingApproval
from shared.clock import now_ms
from shared.contract.edge import MembershipAnswered, MembershipApplied, MembershipChanged
from shared.contract.ids import AccountId, ChatId
from shared.contract.session import (
    Ack,
    AddMember,
    AnswerMembership,
    MembershipRequested,
    RequestMembership,
)
from shared.settings import Settings


class Memberships:
    """A join has two transactions: `finish_join` runs the second one (see store.memberships)."""

    def __init__(
        self, database: SessionDatabase, notifier: ChangeNotifier, heads: ChatHeads, settings: Settings
    ) -> None:
        self._database = database
        self._notifier = notifier
        self._heads = heads
        self._limits = settings.limits
        self._broadcast_members = settings.message.broadcast_members

    async def join_lobby(self, account: AccountId) -> None:
        """Idempotent. Raises RequestError when the message service does not reply."""
        head = await self._heads.last_index(LOBBY)
        join = partial(memberships.join_lobby, account=account, head=head, now=now_ms())
        if (version := await self._database.write(join)) is not None:
            await self.finish_join(LOBBY, account, version)

    async def request_membership(self, request: RequestMembership) -> MembershipRequested:
        domain.check_actor(request.actor)
        domain.check_chat(request.chat)
        domain.check_request_text(request.text)
        head = await self._heads.last_index(request.chat)
        join = partial(memberships.request_membership, request=request, head=head, limits=self._limits, now=now_ms())
        result = await self._database.write(join)
        if isinstance(result, AwaitingApproval):
            applied = MembershipApplied(request.actor, request.chat, request.text)
            await self._notifier.publish({}, [Notification(applied, result.admins)])
            return MembershipRequested(joined=False, name=result.name)
        await self.finish_join(request.chat, request.actor, result.version)
        return MembershipRequested(joined=True, name=result.name)

    async def answer_membership(self, request: AnswerMembership) -> Ack:
        domain.check_actor(request.actor)
        domain.check_chat(request.chat)
        domain.check_account(request.applicant, "applicant")
        head = await self._heads.last_index(request.chat)
        answer = partial(memberships.answer_request, request=request, head=head, limits=self._limits, now=now_ms())
        result = await self._database.write(answer)
        if isinstance(result, MembershipAnswered):
            await self._notifier.publish({}, [Notification(result, [request.applicant])])
        else:
            await self.finish_join(request.chat, request.applicant, result.version)
        return Ack()

    async def add_member(self, request: AddMember) -> Ack:
        domain.check_actor(request.actor)
        domain.check_chat(request.chat)
        domain.check_account(request.account)
        head = await self._heads.last_index(request.chat)
        add = partial(memberships.add_member, request=request, head=head, limits=self._limits, now=now_ms())
        started = await self._database.write(add)
        await self.finish_join(request.chat, request.account, started.version)
        return Ack()

    async def finish_join(self, chat: ChatId, account: AccountId, version: int) -> None:
        """Publish the version with the new member, then set where its unread messages start. Messages committed before
        the version was published are not unread; later ones reach the account. Raises RequestError when the message
        service does not reply; the join then stays unfinished and must be repeated."""
        await self._notifier.publish({chat: version})
        unread_from = await self._heads.last_index(chat) + 1
        finish = partial(
            memberships.finish_join,
            number=chat,
            account=account,
            unread_from=unread_from,
            now=now_ms(),
            broadcast_from=self._broadcast_members,
        )
        if (finished := await self._database.write(finish)) is not None:
            joined = MembershipChanged(
                chat, account, finished.role, finished.first_index, finished.version, finished.since
            )
            notices = (joined, finished.answered)
            notifications = [Notification(notice, finished.recipients) for notice in notices]
            await self._notifier.publish({chat: finished.version}, notifications)
