"""Friendships, requests that wait, notices that are kept."""

from functools import partial

from services.session import domain
from services.session.adapters.edge_notifier import Notices, Told
from services.session.store import friends, pending_notifications
from shared.contract.edge import FriendshipAnswered
from shared.contract.session import (
    Ack,
    AnswerFriendship,
    DropPendingNotices,
    EndFriendship,
    ListPendingNotices,
    ListRequests,
    PendingNotices,
    RequestFriendship,
    Requests,
)
from shared.database import Database, now_ms
from shared.settings import Settings

_REQUESTS = 1_000
_LIST_BYTES = 224 * 1024
"""Of one list in a reply."""


class Friends:
    def __init__(self, database: Database, notices: Notices, settings: Settings) -> None:
        self._database = database
        self._notices = notices
        self._limits = settings.limits

    async def request_friendship(self, request: RequestFriendship) -> Ack:
        domain.check_other(request.actor, request.account)
        domain.check_request(request.text)
        ask = partial(friends.request, asked=request, limits=self._limits, now=now_ms())
        notice = await self._database.write(ask)
        concerned = [request.account]
        if isinstance(notice, FriendshipAnswered):
            concerned.append(request.actor)
        await self._notices.announce({}, [Told(notice, concerned)])
        return Ack()

    async def answer_friendship(self, request: AnswerFriendship) -> Ack:
        domain.check_other(request.actor, request.applicant, "applicant")
        notice = await self._database.write(partial(friends.answer, asked=request, now=now_ms()))
        concerned = [request.applicant, request.actor] if request.accept else [request.applicant]
        await self._notices.announce({}, [Told(notice, concerned)])
        return Ack()

    async def end_friendship(self, request: EndFriendship) -> Ack:
        domain.check_other(request.actor, request.account)
        await self._database.write(partial(friends.end, asked=request, now=now_ms()))
        return Ack()

    async def list_requests(self, request: ListRequests) -> Requests:
        """As many as have room on the bus; the others come when these are answered."""
        domain.check_actor(request.actor)
        found = await self._database.read(partial(friends.pending, account=request.actor, most=_REQUESTS))
        return Requests(
            list(domain.fitting(found.friendships, _LIST_BYTES)), list(domain.fitting(found.memberships, _LIST_BYTES))
        )

    async def list_kept(self, request: ListPendingNotices) -> PendingNotices:
        """As many as have room on the bus; the others come when these are dropped."""
        domain.check_actor(request.actor)
        found = await self._database.read(partial(pending_notifications.kept_for, account=request.actor, now=now_ms()))
        return PendingNotices(list(domain.fitting(found, _LIST_BYTES)))

    async def drop_kept(self, request: DropPendingNotices) -> Ack:
        domain.check_actor(request.actor)
        numbers = domain.storable(request.numbers)
        await self._database.write(partial(pending_notifications.drop, account=request.actor, numbers=numbers))
        return Ack()
