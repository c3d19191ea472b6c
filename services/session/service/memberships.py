"""Joining and leaving groups: the lobby, membership requests, members added by a friend, departures, roles."""

import secrets
from collections.abc import Iterator, Sequence

from services.session import domain, list_limits
from services.session.domain import LOBBY
from services.session.service.made import Makers
from services.session.service.message_reader import MessageReader
from services.session.service.ports import ChangeNotifier, Notification
from services.session.store import departures, links, memberships, moderation, views
from services.session.store.departures import LeftChat
from services.session.store.memberships import AwaitingApproval, FinishedJoin, StartedJoin, StartedJoins
from services.session.store.moderation import ChangedRoles
from services.session.store.requests import once
from shared.clock import now_ms
from shared.contract.edge import JoinedAt, MembershipAnswered, MembershipApplied, MembershipChanged
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.members import (
    MAX_ADDED,
    AddMember,
    AddMembers,
    AnswerMembership,
    CreateLink,
    DeleteLink,
    EndMembership,
    InvitationLink,
    InvitationLinks,
    JoinByLink,
    JoinedByLink,
    ListLinks,
    ListMembers,
    MemberList,
    MembersAdded,
    MembershipRequested,
    RequestMembership,
    SetRole,
)
from shared.contract.model import ProfileSummary, Role
from shared.contract.routes import Ack
from shared.contract.session import ChatVersion
from shared.settings import Settings
from shared.transactions import Transactions

_MEMBERS_PAGE = 200
"""The most members on a page. If all avatars have the longest addresses, these members take 450 KiB."""
_QUERY_CHARACTERS = 64
_REASON_CHARACTERS = 300
_LINK_BYTES = 16
_FINISHED_AT_ONCE = 4
"""The most joins in one transaction. In groups that are not big, each join stores a notification for each member."""


class Memberships:
    """A join has two transactions (see store.memberships). `finish_joins` runs the second transaction. Joins that are
    requested together share the first transaction."""

    def __init__(
        self, database: Transactions, notifier: ChangeNotifier, heads: MessageReader, makers: Makers, settings: Settings
    ) -> None:
        self._database = database
        self._notifier = notifier
        self._heads = heads
        self._makers = makers
        self._limits = settings.limits
        self._broadcast_members = settings.message.broadcast_members
        self._server = settings.irc.name

    async def join_lobby(self, account: AccountId) -> None:
        """Make the account a member of the lobby. A repetition has no further effect. Raises RequestError when the
        message service does not reply."""
        head = await self._heads.last_index(LOBBY)
        if (version := await self._database.write(memberships.join_lobby, account, head, now_ms())) is not None:
            await self.finish_joins(LOBBY, [account], version)

    async def request_membership(self, request: RequestMembership) -> MembershipRequested:
        domain.check_request_text(request.text)
        head = await self._heads.last_index(request.chat)
        result = await self._database.write(
            once(memberships.request_membership, StartedJoin, AwaitingApproval), request, head, self._limits,
            now_ms(), self._server,
        )  # fmt: skip
        if isinstance(result, AwaitingApproval):
            applied = MembershipApplied(request.actor, request.chat, request.text)
            await self._notifier.publish({}, [Notification(applied, result.admins)])
            return MembershipRequested(joined=False, name="")
        version = await self.finish_joins(request.chat, [request.actor], result.version)
        return MembershipRequested(joined=True, name=result.name, version=version)

    async def answer_membership(self, request: AnswerMembership) -> ChatVersion:
        domain.check_account(request.applicant, "applicant")
        head = await self._heads.last_index(request.chat)
        result = await self._database.write(
            once(memberships.answer_request, StartedJoin, MembershipAnswered), request, head, self._limits, now_ms()
        )
        if isinstance(result, MembershipAnswered):
            await self._notifier.publish({}, [Notification(result, [request.applicant])])
            return ChatVersion()
        return ChatVersion(await self.finish_joins(request.chat, [request.applicant], result.version))

    async def add_member(self, request: AddMember) -> ChatVersion:
        domain.check_account(request.account)
        head = await self._heads.last_index(request.chat)
        started = await self._database.write(
            once(memberships.add_member, StartedJoin), request, head, self._limits, now_ms()
        )
        return ChatVersion(await self.finish_joins(request.chat, [request.account], started.version))

    async def add_members(self, request: AddMembers) -> MembersAdded:
        list_limits.check_batch_size(request.accounts, MAX_ADDED, "accounts")
        head = await self._heads.last_index(request.chat)
        started = await self._database.write(
            once(memberships.add_members, StartedJoins), request, head, self._limits, now_ms()
        )
        version = await self.finish_joins(request.chat, started.joining, started.version)
        added = [account for account in dict.fromkeys(request.accounts) if account not in started.rejected]
        return MembersAdded(added, started.rejected, version)

    async def end_membership(self, request: EndMembership) -> ChatVersion:
        """Remove a member, or let the actor leave. Messages committed after the reply do not reach the past member."""
        domain.check_account(request.account)
        domain.check_characters("reason", request.reason, _REASON_CHARACTERS)
        left = await self._database.write(
            once(departures.end_membership, LeftChat), request, now_ms(), self._broadcast_members
        )
        await self._notifier.publish(
            {left.chat: left.version}, notifications_of(request.account, left, request.actor, request.reason)
        )
        return ChatVersion(left.version)

    async def set_role(self, request: SetRole) -> ChatVersion:
        domain.check_peer(request.actor, request.account)
        if request.role is Role.LEFT:
            raise RequestError(
                ErrorCode.INVALID, "the role must be member, admin or owner", "role", reason=Reason.CHOICE
            )
        result = await self._database.write(
            once(moderation.set_role, ChangedRoles), request, now_ms(), self._broadcast_members
        )
        if result.changed:
            events = [
                MembershipChanged(request.chat, one.account, one.role, one.first_index, one.version, by=request.actor)
                for one in result.changed
            ]
            notifications = [Notification(event, result.recipients) for event in events]
            await self._notifier.publish({request.chat: result.version}, notifications)
        return ChatVersion(result.version)

    async def list_members(self, request: ListMembers) -> MemberList:
        domain.check_characters("query", request.query, _QUERY_CHARACTERS)
        limit = min(request.count, _MEMBERS_PAGE) if request.count > 0 else _MEMBERS_PAGE
        return await self._database.read(views.list_members, request, limit)

    # Links

    async def create_link(self, request: CreateLink) -> InvitationLink:
        domain.check_uses(request.uses)
        domain.check_end("expires", request.expires, now_ms())
        code = secrets.token_urlsafe(_LINK_BYTES)
        return await self._database.write(once(links.create, InvitationLink), request, code, self._limits, now_ms())

    async def list_links(self, request: ListLinks) -> InvitationLinks:
        found = await self._database.read(links.list_links, request, now_ms())
        return InvitationLinks(await self._makers.mark_paused(found.links))

    async def delete_link(self, request: DeleteLink) -> Ack:
        domain.check_link(request.link)
        await self._database.write(links.delete, request)
        return Ack()

    async def join_by_link(self, request: JoinByLink) -> JoinedByLink:
        domain.check_link(request.link)
        found = await self._database.read(links.find, request.link, request.actor, now_ms())
        if not await self._makers.may_act(found.by):
            raise links.no_link()
        chat = found.chat
        head = await self._heads.last_index(chat)
        started = await self._database.write(once(links.join, StartedJoin), request, chat, head, self._limits, now_ms())
        version = await self.finish_joins(chat, [request.actor], started.version)
        return JoinedByLink(chat, started.name, version)

    async def finish_joins(self, chat: ChatId, accounts: Sequence[AccountId], version: int) -> int:
        """Publish the version with the new members, then set where their unread messages start. Messages committed
        after the version was published reach the accounts. Messages committed before the start was read do not count as
        unread, even if they have reached the accounts. Returns the chat's version. Raises RequestError when the message
        service does not reply; the joins then stay unfinished and must be repeated."""
        if not accounts:
            return version
        await self._notifier.publish({chat: version})
        head, rev = await self._heads.last_change(chat)
        for start in range(0, len(accounts), _FINISHED_AT_ONCE):
            finished = await self._database.write(
                memberships.finish_joins,
                chat,
                accounts[start : start + _FINISHED_AT_ONCE],
                head + 1,
                now_ms(),
                self._broadcast_members,
            )
            version = max(version, finished.version)
            if finished.joins:
                notifications = _notifications_of(chat, finished.joins, JoinedAt(head, rev))
                await self._notifier.publish({chat: finished.version}, notifications)
        return version


def _notifications_of(chat: ChatId, joins: Sequence[FinishedJoin], joined_at: JoinedAt) -> Iterator[Notification]:
    """Notify a new member of the chat before it is notified of the other new members."""
    for one in joins:
        joined = MembershipChanged(
            chat, one.answered.account, one.role, one.first_index, one.version, one.since, recent=one.recent,
            joined_at=joined_at,
        )  # fmt: skip
        yield Notification(joined, one.recipients)
    for one in joins:
        yield Notification(one.answered, one.recipients)


def notifications_of(
    account: AccountId,
    left: LeftChat,
    by: AccountId,
    reason: str = "",
    gone: dict[AccountId, ProfileSummary] | None = None,
) -> list[Notification]:
    """The notifications about the end of a membership. They go to the past member and to the remaining members, who are
    also notified of a new owner. If the last member has left, they also go to the accounts whose membership requests
    end. `by`: the account that ended the membership. `gone`: the last profile summary of the account if it is
    deleted."""
    chat, version, owner, first_index, members, rejected, time = left
    recipients = None if members is None else [account, *members]
    departure = MembershipChanged(
        chat, account, Role.LEFT, 0, version, by=by, reason=reason, gone=gone is not None, faces=gone or {}, time=time
    )
    notifications = [Notification(departure, recipients)]
    if owner != NO_ACCOUNT:
        # The old owner's departure has the same version. So an edge that has missed the event of the departure must not
        # count this version as complete.
        changed = MembershipChanged(chat, owner, Role.OWNER, first_index, version, since=version, by=by)
        notifications.append(Notification(changed, members))
    return [*notifications, *(Notification(answer, [answer.account]) for answer in rejected)]
