"""Joining and leaving groups: the lobby, membership requests, members added by a friend, departures, roles."""

import secrets
from functools import partial

from services.session import domain
from services.session.domain import LOBBY
from services.session.service.departures import notifications_of
from services.session.service.ports import ChangeNotifier, ChatHeads, Notification, SessionDatabase
from services.session.store import departures, links, memberships, roles
from services.session.store.memberships import AwaitingApproval
from shared.clock import now_ms
from shared.contract.edge import MembershipAnswered, MembershipApplied, MembershipChanged
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.invitations import (
    CreateLink,
    DeleteLink,
    InvitationLink,
    InvitationLinks,
    JoinByLink,
    JoinedByLink,
    ListLinks,
)
from shared.contract.members import ListMembers, MemberList
from shared.contract.model import Role
from shared.contract.session import (
    Ack,
    AddMember,
    AnswerMembership,
    EndMembership,
    MembershipRequested,
    RequestMembership,
    SetRole,
)
from shared.settings import Settings

_MEMBERS_PAGE = 200
"""The longest addresses of avatars make 450 KiB of them."""
_LINK_BYTES = 16


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

    async def end_membership(self, request: EndMembership) -> Ack:
        """Messages committed after the reply do not reach the former member."""
        domain.check_actor(request.actor)
        domain.check_chat(request.chat)
        domain.check_account(request.account)
        end = partial(departures.end_membership, request=request, now=now_ms(), broadcast_from=self._broadcast_members)
        left = await self._database.write(end)
        await self._notifier.publish({left.chat: left.version}, notifications_of(request.account, left, request.actor))
        return Ack()

    async def set_role(self, request: SetRole) -> Ack:
        domain.check_peer(request.actor, request.account)
        domain.check_chat(request.chat)
        if request.role is Role.LEFT:
            raise RequestError(ErrorCode.INVALID, "a member has another role", "role")
        change = partial(roles.set_role, request=request, now=now_ms(), broadcast_from=self._broadcast_members)
        if (result := await self._database.write(change)) is not None:
            notices = [
                MembershipChanged(request.chat, one.account, one.role, one.first_index, one.version, by=request.actor)
                for one in result.changed
            ]
            notifications = [Notification(notice, result.recipients) for notice in notices]
            await self._notifier.publish({request.chat: result.version}, notifications)
        return Ack()

    async def list_members(self, request: ListMembers) -> MemberList:
        domain.check_actor(request.actor)
        domain.check_chat(request.chat)
        return await self._database.read(partial(roles.list_members, request=request, limit=_MEMBERS_PAGE))

    # Links

    async def create_link(self, request: CreateLink) -> InvitationLink:
        domain.check_actor(request.actor)
        domain.check_chat(request.chat)
        domain.check_uses(request.uses)
        domain.check_time(request.expires, "expires")
        code = secrets.token_urlsafe(_LINK_BYTES)
        create = partial(links.create, request=request, code=code, limits=self._limits, now=now_ms())
        return await self._database.write(create)

    async def list_links(self, request: ListLinks) -> InvitationLinks:
        domain.check_actor(request.actor)
        domain.check_chat(request.chat)
        return await self._database.read(partial(links.list_links, request=request, now=now_ms()))

    async def delete_link(self, request: DeleteLink) -> Ack:
        domain.check_actor(request.actor)
        domain.check_chat(request.chat)
        domain.check_link(request.link)
        await self._database.write(partial(links.delete, request=request))
        return Ack()

    async def join_by_link(self, request: JoinByLink) -> JoinedByLink:
        domain.check_actor(request.actor)
        domain.check_link(request.link)
        chat = await self._database.read(partial(links.chat_of, code=request.link, now=now_ms()))
        head = await self._heads.last_index(chat)
        join = partial(links.join, request=request, chat=chat, head=head, limits=self._limits, now=now_ms())
        started = await self._database.write(join)
        await self.finish_join(chat, request.actor, started.version)
        return JoinedByLink(chat, started.name)

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
                chat, account, finished.role, finished.first_index, finished.version, finished.since,
                recent=finished.recent,
            )  # fmt: skip
            notices = (joined, finished.answered)
            notifications = [Notification(notice, finished.recipients) for notice in notices]
            await self._notifier.publish({chat: finished.version}, notifications)
