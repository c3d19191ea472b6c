"""Friendships, pending requests, blocked accounts and pending notifications, and the lists that a client keeps."""

from msgspec import structs

from services.session import domain, list_limits
from services.session.service.ports import ChangeNotifier, Notification
from services.session.store import blocks, friends, pending_notifications
from services.session.store.requests import once
from shared.clock import now_ms
from shared.contract.contacts import (
    AnswerFriendship,
    BlockedAccounts,
    BlockedMembers,
    DropPendingEvents,
    EndFriendship,
    FindBlockedMembers,
    FindWatchable,
    ListBlocked,
    ListPendingEvents,
    ListRequests,
    PendingEvents,
    RequestFriendship,
    Requests,
    SetBlocked,
    WatchableAccounts,
)
from shared.contract.edge import FriendshipAnswered, FriendshipRequested
from shared.contract.own_lists import LISTS, GetOwnLists, OwnLists
from shared.contract.resume import fingerprint
from shared.contract.routes import Ack
from shared.settings import Settings
from shared.transactions import Transactions

_REQUESTS = 1_000
_CHECKED_MEMBERS = 1_000
_LIST_BYTES = 224 * 1024
"""The most bytes of one list in a reply."""


class Friends:
    def __init__(self, database: Transactions, notifier: ChangeNotifier, settings: Settings) -> None:
        self._database = database
        self._notifier = notifier
        self._limits = settings.limits

    async def request_friendship(self, request: RequestFriendship) -> Ack:
        domain.check_peer(request.actor, request.account)
        domain.check_request_text(request.text)
        event = await self._database.write(
            once(friends.request_friendship, FriendshipRequested, FriendshipAnswered), request, self._limits, now_ms()
        )
        recipients = [request.account]
        if isinstance(event, FriendshipAnswered):
            recipients.append(request.actor)
        await self._notifier.publish({}, [Notification(event, recipients)])
        return Ack()

    async def answer_friendship(self, request: AnswerFriendship) -> Ack:
        domain.check_peer(request.actor, request.applicant, "applicant")
        event = await self._database.write(once(friends.answer_request, FriendshipAnswered), request, now_ms())
        recipients = [request.applicant, request.actor] if request.accept else [request.applicant]
        await self._notifier.publish({}, [Notification(event, recipients)])
        return Ack()

    async def end_friendship(self, request: EndFriendship) -> Ack:
        domain.check_peer(request.actor, request.account)
        await self._database.write(once(friends.end_friendship, type(None)), request, now_ms())
        return Ack()

    async def set_blocked(self, request: SetBlocked) -> Ack:
        """Block or unblock an account. Its private messages that are posted after the reply are rejected, or accepted
        again."""
        domain.check_peer(request.actor, request.account)
        await self._database.write(blocks.set_blocked, request, self._limits, now_ms())
        pair = domain.pair_of(request.actor, request.account)
        changed = await self._database.write(blocks.increment_version, pair, now_ms())
        if changed is not None:
            chat, version = changed
            await self._notifier.publish({chat: version})
        return Ack()

    async def list_blocked(self, request: ListBlocked) -> BlockedAccounts:
        return BlockedAccounts(await self._database.read(blocks.list_blocked, request.actor))

    async def find_blocked_members(self, request: FindBlockedMembers) -> BlockedMembers:
        list_limits.check_batch_size(request.members, _CHECKED_MEMBERS, "members")
        members = [one for one in request.members if {*one} == {*list_limits.in_int64(one)}]
        return BlockedMembers(await self._database.read(blocks.find_blocked_members, members))

    async def find_watchable(self, request: FindWatchable) -> WatchableAccounts:
        list_limits.check_batch_size(request.accounts, _CHECKED_MEMBERS, "accounts")
        accounts = list_limits.in_int64(request.accounts)
        find = friends.find_near if request.near else friends.find_watchable
        return WatchableAccounts(sorted(await self._database.read(find, request.actor, accounts)))

    async def list_requests(self, request: ListRequests) -> Requests:
        """Returns as many pending requests as fit into one reply. Once these are answered, the next call returns
        further ones."""
        return _fitting(await self._database.read(friends.list_requests, request.actor, _REQUESTS))

    async def own_lists(self, request: GetOwnLists) -> OwnLists:
        """Returns the lists whose state differs from the state that the client has. The state of a list is a hash of
        its content."""
        most = self._limits.members_listed, _REQUESTS
        found = await self._database.read(friends.find_own_lists, request.actor, frozenset(request.known), *most)
        if found.requests is not None:
            found = structs.replace(found, requests=_fitting(found.requests))
        lists = {name: one for name in LISTS if (one := getattr(found, name)) is not None}
        states = {name: fingerprint(one) for name, one in lists.items()}
        changed = {name: state for name, state in states.items() if state != request.known[name]}
        return OwnLists(changed, **{name: lists[name] for name in changed})

    async def list_pending_events(self, request: ListPendingEvents) -> PendingEvents:
        """Returns as many pending events as fit into one reply. Once these are deleted, the next call returns further
        ones."""
        found = await self._database.read(pending_notifications.list_pending, request.actor, now_ms())
        return PendingEvents(list(list_limits.take_fitting(found, _LIST_BYTES)))

    async def drop_pending_events(self, request: DropPendingEvents) -> Ack:
        numbers = list_limits.in_int64(request.numbers)
        await self._database.write(pending_notifications.delete, request.actor, numbers)
        return Ack()


def _fitting(found: Requests) -> Requests:
    return Requests(
        list(list_limits.take_fitting(found.friendships, _LIST_BYTES)),
        list(list_limits.take_fitting(found.memberships, _LIST_BYTES)),
    )
