"""Friendships, pending requests, blocked accounts, pending notifications."""

from functools import partial

from services.session import domain
from services.session.service.ports import ChangeNotifier, Notification, SessionDatabase
from services.session.store import blocks, friends, pending_notifications
from services.session.store.requests import once
from shared.clock import now_ms
from shared.contract.contacts import (
    AnswerFriendship,
    BlockedAccounts,
    BlockedMembers,
    DropPendingNotices,
    EndFriendship,
    FindBlockedMembers,
    FindWatchable,
    ListBlocked,
    ListPendingNotices,
    ListRequests,
    PendingNotices,
    RequestFriendship,
    Requests,
    SetBlocked,
    WatchableAccounts,
)
from shared.contract.edge import FriendshipAnswered, FriendshipRequested
from shared.contract.routes import Ack
from shared.settings import Settings

_REQUESTS = 1_000
_CHECKED_MEMBERS = 1_000
_LIST_BYTES = 224 * 1024
"""Of one list in a reply."""


class Friends:
    def __init__(self, database: SessionDatabase, notifier: ChangeNotifier, settings: Settings) -> None:
        self._database = database
        self._notifier = notifier
        self._limits = settings.limits

    async def request_friendship(self, request: RequestFriendship) -> Ack:
        domain.check_peer(request.actor, request.account)
        domain.check_request_text(request.text)
        store = partial(friends.request_friendship, request=request, limits=self._limits, now=now_ms())
        notice = await self._database.write(once(store, FriendshipRequested, FriendshipAnswered))
        recipients = [request.account]
        if isinstance(notice, FriendshipAnswered):
            recipients.append(request.actor)
        await self._notifier.publish({}, [Notification(notice, recipients)])
        return Ack()

    async def answer_friendship(self, request: AnswerFriendship) -> Ack:
        domain.check_peer(request.actor, request.applicant, "applicant")
        answer = partial(friends.answer_request, request=request, now=now_ms())
        notice = await self._database.write(once(answer, FriendshipAnswered))
        recipients = [request.applicant, request.actor] if request.accept else [request.applicant]
        await self._notifier.publish({}, [Notification(notice, recipients)])
        return Ack()

    async def end_friendship(self, request: EndFriendship) -> Ack:
        domain.check_peer(request.actor, request.account)
        end = partial(friends.end_friendship, request=request, now=now_ms())
        await self._database.write(once(end, type(None)))
        return Ack()

    async def set_blocked(self, request: SetBlocked) -> Ack:
        """Private messages posted after the reply are rejected, or accepted again."""
        domain.check_peer(request.actor, request.account)
        await self._database.write(partial(blocks.set_blocked, request=request, limits=self._limits, now=now_ms()))
        pair = domain.pair_of(request.actor, request.account)
        changed = await self._database.write(partial(blocks.increment_version, pair=pair, now=now_ms()))
        if changed is not None:
            chat, version = changed
            await self._notifier.publish({chat: version})
        return Ack()

    async def list_blocked(self, request: ListBlocked) -> BlockedAccounts:
        domain.check_actor(request.actor)
        return BlockedAccounts(await self._database.read(partial(blocks.list_blocked, account=request.actor)))

    async def find_blocked_members(self, request: FindBlockedMembers) -> BlockedMembers:
        domain.check_batch_size(request.members, _CHECKED_MEMBERS, "members")
        members = [one for one in request.members if {*one} == {*domain.in_int64(one)}]
        return BlockedMembers(await self._database.read(partial(blocks.find_blocked_members, members=members)))

    async def find_watchable(self, request: FindWatchable) -> WatchableAccounts:
        domain.check_actor(request.actor)
        domain.check_batch_size(request.accounts, _CHECKED_MEMBERS, "accounts")
        accounts = domain.in_int64(request.accounts)
        found = partial(friends.find_watchable, actor=request.actor, accounts=accounts)
        return WatchableAccounts(sorted(await self._database.read(found)))

    async def list_requests(self, request: ListRequests) -> Requests:
        """As many as fit into one reply; the others follow when these are answered."""
        domain.check_actor(request.actor)
        found = await self._database.read(partial(friends.list_requests, account=request.actor, limit=_REQUESTS))
        return Requests(
            list(domain.take_fitting(found.friendships, _LIST_BYTES)),
            list(domain.take_fitting(found.memberships, _LIST_BYTES)),
        )

    async def list_pending_notices(self, request: ListPendingNotices) -> PendingNotices:
        """As many as fit into one reply; the others follow when these are deleted."""
        domain.check_actor(request.actor)
        pending = partial(pending_notifications.list_pending, account=request.actor, now=now_ms())
        found = await self._database.read(pending)
        return PendingNotices(list(domain.take_fitting(found, _LIST_BYTES)))

    async def drop_pending_notices(self, request: DropPendingNotices) -> Ack:
        domain.check_actor(request.actor)
        numbers = domain.in_int64(request.numbers)
        await self._database.write(partial(pending_notifications.delete, account=request.actor, numbers=numbers))
        return Ack()
