"""Friendship, membership and profile events: pushed live to local accounts, and at login if they were stored."""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from services.edge.canonical.events import Event, RoleChanged
from services.edge.client.connection import Connection
from services.edge.delivery.local_chats import LocalChats
from services.edge.presence.local_accounts import LocalAccounts
from shared.bus.client import Bus
from shared.contract.contacts import DropPendingNotices, ListPendingNotices, ListRequests
from shared.contract.edge import (
    ChatCreated,
    ChatRenamed,
    FriendshipAnswered,
    FriendshipRequested,
    MembershipAnswered,
    MembershipApplied,
    MembershipChanged,
    Notice,
    Notify,
    ProfileChanged,
)
from shared.contract.errors import RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import ProfileSummary, Role
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)
_SECONDS = 5.0

Social = (
    ProfileChanged | FriendshipRequested | FriendshipAnswered | MembershipApplied | MembershipAnswered | ChatRenamed
)

_decode_notice: msgspec.msgpack.Decoder[Notice] = msgspec.msgpack.Decoder(Notice)


class NotifiedClient(Protocol):
    """The client that has just logged in."""

    @property
    def connection(self) -> Connection: ...

    @property
    def is_closing(self) -> bool: ...

    def notify(self, event: Event) -> None: ...


class SocialNotifier:
    def __init__(self, bus: Bus, accounts: LocalAccounts, chats: LocalChats, tasks: Tasks) -> None:
        self._bus = bus
        self._accounts = accounts
        self._chats = chats
        self._tasks = tasks

    def notify(self, notify: Notify, event: Social) -> None:
        """Push a live event to its recipients."""
        if isinstance(event, ProfileChanged) and (changed := self._accounts.get(event.profile.id)):
            changed.summary = ProfileSummary(event.profile.nickname, event.profile.uuid)
        stored = event.kept if isinstance(event, FriendshipAnswered | MembershipAnswered) else {}
        for account in self._recipients(notify, event):
            for shown in _shown_of(event):
                self._notify_account(account, shown, stored.get(account))

    def notify_added(self, created: ChatCreated) -> None:
        """Push to the accounts that were added to a new group, to each its own membership."""
        for account, number in created.kept.items():
            event = MembershipAnswered(created.chat, created.name, account, accepted=True, version=created.version)
            self._notify_account(account, event, number)

    def notify_role(self, notify: Notify, changed: MembershipChanged) -> None:
        """Push a new role or a departure, in a big group to the account alone. A join has an event of its own; so has
        the former member."""
        if changed.by == NO_ACCOUNT:
            return
        event = RoleChanged(changed.chat, changed.account, changed.role, changed.by, changed.version)
        for account in (changed.account,) if notify.recipients is None else notify.recipients:
            former = account == changed.account and changed.role is Role.LEFT
            if not former and (local := self._accounts.get(account)):
                local.notify(event)

    def after_login(self, client: NotifiedClient) -> None:
        """Sends pending notifications, if the client's dialect shows them."""
        dialect = client.connection.dialect
        if dialect is not None and dialect.pushes_pending_requests:
            self._tasks.start(send_pending(self._bus, client), "requests")

    def _notify_account(self, account: AccountId, event: Event, number: int | None) -> None:
        """`number`: of the stored notification, which is deleted once a client has shown the event."""
        local = self._accounts.get(account)
        if local is None:
            return
        local.notify(event)
        if number is not None and any(recipient.pushes_pending_requests for recipient in local.recipients):
            self._tasks.start(_drop_pending(self._bus, account, [number]), "drop pending notices")

    def _recipients(self, notify: Notify, event: Social) -> Iterable[AccountId]:
        if notify.recipients is not None:
            return notify.recipients
        if isinstance(event, ChatRenamed):
            return self._local_members(event.chat)
        if isinstance(event, MembershipAnswered):
            others = self._local_members(event.chat) if self._accounts.connections_with_joins else ()
            return {event.account, *filter(self._shows_others_joins, others)}
        return ()

    def _local_members(self, chat: ChatId) -> Iterable[AccountId]:
        sequencer = self._chats.sequencer(chat)
        return tuple(sequencer.members) if sequencer else ()

    def _shows_others_joins(self, account: AccountId) -> bool:
        """Most dialects show a join in a broadcast chat to the new member alone: pushed to all, joins would take the
        time of messages."""
        local = self._accounts.get(account)
        return local is not None and any(recipient.shows_others_joins for recipient in local.recipients)


def _shown_of(event: Social) -> Iterable[Event]:
    """A group's new name and its new settings are seen apart."""
    if not isinstance(event, ChatRenamed):
        yield event
        return
    if event.renamed:
        yield event
    if event.settings is not None:
        yield event.settings


async def send_pending(bus: Bus, client: NotifiedClient) -> None:
    """After a login: push the requests that the account has not answered, and its stored notifications."""
    account = client.connection.account
    try:
        requests = await bus.request(ListRequests.route, ListRequests(account), seconds=_SECONDS, retry=True)
        pending = await bus.request(ListPendingNotices.route, ListPendingNotices(account), seconds=_SECONDS, retry=True)
    except RequestError as error:
        _log.warning("pending requests not sent", account=account, error=str(error))
        return
    notices = pending.kept
    events: list[Event] = []
    events += [FriendshipRequested(one.applicant, account, one.text) for one in requests.friendships]
    events += [MembershipApplied(one.applicant, one.chat, one.text) for one in requests.memberships]
    events += [notice for one in notices if isinstance(notice := _decode_notice.decode(one.notice), Social)]
    if client.is_closing or client.connection.account != account:
        return
    for event in events:
        client.notify(event)
    if notices:
        await _drop_pending(bus, account, [one.number for one in notices])


async def _drop_pending(bus: Bus, account: AccountId, numbers: list[int]) -> None:
    """Delete stored notifications. If that fails, they are sent again at the next login."""
    try:
        await bus.request(DropPendingNotices.route, DropPendingNotices(numbers, account), seconds=_SECONDS, retry=True)
    except RequestError as error:
        _log.warning("pending notices not dropped", account=account, error=str(error))
