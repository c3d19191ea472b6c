"""Pushes events about friendships, memberships and profiles. Live events are pushed to local accounts at once. Stored
events are pushed after the login."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from services.edge.canonical.events import Event, RoleChanged
from services.edge.client.endpoint import ConnectionRegistry
from services.edge.client.session import LoginSession
from services.edge.delivery.local_chats import AT_ONCE, LocalChats
from services.edge.dialects.base import DISCONNECTED
from services.edge.login.revocations import RevocationWatcher
from services.edge.login.verification import VerificationFlow
from services.edge.presence.local_accounts import LocalAccounts, Recipient
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.contacts import DropPendingEvents, ListPendingEvents, ListRequests
from shared.contract.edge import (
    ChatCreated,
    ChatRenamed,
    EdgeEvent,
    FriendshipAnswered,
    FriendshipRequested,
    Kicked,
    MaintenanceSet,
    MembershipAnswered,
    MembershipApplied,
    MembershipChanged,
    Notify,
    ProfileChanged,
    Revoked,
    SocialEvent,
    VerificationOpened,
)
from shared.contract.errors import RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, NodeId
from shared.contract.model import ProfileSummary, Role, summary_of
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)
_SECONDS = 5.0

_decode_event: msgspec.msgpack.Decoder[EdgeEvent] = msgspec.msgpack.Decoder(EdgeEvent)


class SocialNotifier:
    def __init__(
        self,
        bus: Bus,
        accounts: LocalAccounts,
        chats: LocalChats,
        tasks: Tasks,
        guest_renamed: Callable[[AccountId, ProfileSummary], None],
    ) -> None:
        self._guest_renamed = guest_renamed
        self._bus = bus
        self._accounts = accounts
        self._chats = chats
        self._tasks = tasks

    def notify(self, notify: Notify, event: SocialEvent) -> None:
        """Push a live event to its recipients."""
        if isinstance(event, ProfileChanged) and (changed := self._accounts.get(event.profile.id)):
            changed.summary = summary_of(event.profile)
            self._guest_renamed(event.profile.id, changed.summary)
        recipients = self._recipients(notify, event)
        for account in recipients:
            for one in _shown_of(event):
                self._notify_account(account, one, later=len(recipients) > AT_ONCE)

    def notify_added(self, created: ChatCreated) -> None:
        """Push the new membership to each account that was added at the creation of a group."""
        for account, number in created.kept.items():
            event = MembershipAnswered(
                created.chat, created.name, account, accepted=True, kept={account: number}, version=created.version
            )
            self._notify_account(account, event)

    def notify_role(self, notify: Notify, changed: MembershipChanged) -> None:
        """Push a new role or a departure. In a big group, it is pushed only to the account that has the new role. Joins
        are pushed elsewhere, and so is the event by which an account itself learns that it has left."""
        if changed.by == NO_ACCOUNT:
            return
        event = RoleChanged(
            changed.chat, changed.account, changed.role, changed.by, changed.version, changed.faces, changed.reason,
            changed.gone, changed.by_modes, changed.time,
        )  # fmt: skip
        recipients = (changed.account,) if notify.recipients is None else notify.recipients
        for account in recipients:
            if account != changed.account or changed.role is not Role.LEFT:
                self._notify_account(account, event, later=len(recipients) > AT_ONCE)

    def after_login(self, session: LoginSession) -> None:
        """Send the pending notifications of the account, if the client shows them."""
        if session.recipient.shows_pending_requests:
            pushed: list[Event] = []
            session.pushed = pushed
            self._tasks.start(send_pending(self._bus, session, pushed), "requests")

    def _notify_account(self, account: AccountId, event: Event, *, later: bool = False) -> None:
        """Push an event to an account. A stored event is deleted once it has arrived at a client that shows it."""
        local = self._accounts.get(account)
        if local is None:
            return
        local.notify(event, later=later)
        showing = [recipient for recipient in local.recipients if recipient.shows_pending_requests]
        if (number := _number_of(event, account)) is not None and showing:
            self._tasks.start(_drop_pending(self._bus, account, [number], showing), "drop pending events")

    def _recipients(self, notify: Notify, event: SocialEvent) -> Collection[AccountId]:
        if notify.recipients is not None:
            return notify.recipients
        if isinstance(event, ChatRenamed):
            return self._local_members(event.chat)
        if isinstance(event, MembershipAnswered):
            others = self._local_members(event.chat) if self._accounts.connections_with_joins else ()
            return {event.account, *filter(self._shows_others_joins, others)}
        return ()

    def _local_members(self, chat: ChatId) -> Collection[AccountId]:
        sequencer = self._chats.sequencer(chat)
        return tuple(sequencer.members) if sequencer else ()

    def _shows_others_joins(self, account: AccountId) -> bool:
        """Whether the account is shown the joins of others. In a broadcast chat, most dialects show a join only to the
        new member, because pushing it to all members would delay messages."""
        return any(recipient.dialect.shows_others_joins for recipient in self._accounts.recipients(account))


def _shown_of(event: SocialEvent) -> Iterable[Event]:
    """Split an event into the events that clients are shown. A group's new name and its new settings are separate
    events."""
    if not isinstance(event, ChatRenamed):
        yield event
        return
    if event.renamed:
        yield event
    for part in (event.settings, event.modes, event.invited):
        if part is not None:
            yield part


def _number_of(event: Event, account: AccountId) -> int | None:
    """The number under which the event is stored for the account."""
    return event.kept.get(account) if isinstance(event, FriendshipAnswered | MembershipAnswered) else None


async def send_pending(bus: Bus, session: LoginSession, pushed: list[Event]) -> None:
    """Push the requests that the account has not answered, and its stored notifications, after a login. `pushed`: the
    events that are pushed meanwhile, which may be among them."""
    account = session.connection.account
    try:
        requests = await bus.send(ListRequests(actor=account), seconds=_SECONDS, retry=True)
        pending = await bus.send(ListPendingEvents(account), seconds=_SECONDS, retry=True)
    except RequestError as error:
        _log.warning("pending requests not sent", account=account, error=str(error))
        return
    finally:
        if session.pushed is pushed:
            session.pushed = None
    events: list[Event] = []
    events += [FriendshipRequested(one.applicant, account, one.text) for one in requests.friendships]
    events += [MembershipApplied(one.applicant, one.chat, one.text) for one in requests.memberships]
    numbers = {_number_of(event, account) for event in pushed}
    stored = [_decode_event.decode(one.event) for one in pending.kept if one.number not in numbers]
    events += [event for event in stored if isinstance(event, SocialEvent)]
    if session.is_closing or session.connection.account != account:
        return
    for event in events:
        if event not in pushed:
            session.notify(event)
    if pending.kept:
        await _drop_pending(bus, account, [one.number for one in pending.kept], [session.recipient])


async def _drop_pending(bus: Bus, account: AccountId, numbers: list[int], shown_to: Sequence[Recipient]) -> None:
    """Delete stored notifications, once they have arrived at one of these clients. If this fails, they are pushed again
    at the next login."""
    if not any(await asyncio.gather(*(recipient.has_arrived() for recipient in shown_to))):
        return
    try:
        await bus.send(DropPendingEvents(numbers, account), seconds=_SECONDS, retry=True)
    except RequestError as error:
        _log.warning("pending events not dropped", account=account, error=str(error))


_decode = msgspec.msgpack.Decoder(Notify).decode


class NotificationReceiver:
    """Receives notifications from the session and auth services, and passes each to the object that handles it."""

    def __init__(
        self,
        accounts: LocalAccounts,
        chats: LocalChats,
        social: SocialNotifier,
        connections: ConnectionRegistry,
        verification: VerificationFlow,
        watcher: RevocationWatcher,
    ) -> None:
        self._accounts = accounts
        self._chats = chats
        self._social = social
        self._connections = connections
        self._verification = verification
        self._watcher = watcher

    def subscribe(self, bus: Bus, node: NodeId) -> None:
        """Must be called before the bus client starts."""
        bus.subscribe(subjects.notify(node), self.receive)
        bus.subscribe(subjects.NOTIFY_ALL, self.receive)
        bus.subscribe(subjects.AUTH_STATE, self._watcher.receive_state)

    def receive(self, data: bytes) -> None:
        notify = _decode(data)
        event = notify.event
        match event:
            case ChatCreated():
                self._chats.on_chat_created(event)
                self._social.notify_added(event)
            case MembershipChanged():
                self._chats.on_membership_changed(event)
                self._social.notify_role(notify, event)
            case Revoked():
                self._watcher.revoked(event.revocations)
            case Kicked():
                for recipient in self._accounts.recipients(event.account):
                    recipient.close(1008, DISCONNECTED)
            case MaintenanceSet():
                self._watcher.maintenance(event.on)
            case VerificationOpened():
                if client := self._connections.clients.get(event.connection):
                    self._verification.opened(client, event.ticket, event.passed)
            case _:  # a SocialEvent
                self._social.notify(notify, event)
