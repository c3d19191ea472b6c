"""Receives notifications from the session and auth services and forwards each to the module that handles it."""

from typing import assert_never

import msgspec

from services.edge.client.endpoint import ConnectionRegistry
from services.edge.delivery.local_chats import LocalChats
from services.edge.dialects.base import DISCONNECTED
from services.edge.login.revocations import RevocationWatcher
from services.edge.login.verification import VerificationFlow
from services.edge.notifications.social import SocialNotifier
from services.edge.presence.local_accounts import LocalAccounts
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.edge import (
    ChatCreated,
    ChatRenamed,
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
    VerificationOpened,
)
from shared.contract.ids import AccountId, NodeId

_decode = msgspec.msgpack.Decoder(Notify).decode


class NotificationReceiver:
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
        """To be called before the bus starts."""
        bus.subscribe(subjects.notify(node), self.receive)
        bus.subscribe(subjects.NOTIFY_ALL, self.receive)
        bus.subscribe(subjects.AUTH_STATE, self._watcher.receive_state)

    def receive(self, data: bytes) -> None:
        notify = _decode(data)
        notice = notify.notice
        match notice:
            case ChatCreated():
                self._chats.on_chat_created(notice)
                self._social.notify_added(notice)
            case MembershipChanged():
                self._chats.on_membership_changed(notice)
                self._social.notify_role(notify, notice)
            case Revoked():
                self._watcher.revoked(notice.revocations)
            case Kicked():
                self._disconnect(notice.account)
            case MaintenanceSet():
                self._watcher.maintenance(notice.on)
            case VerificationOpened():
                if client := self._connections.clients.get(notice.connection):
                    self._verification.opened(client, notice.ticket, notice.passed)
            case (
                ProfileChanged()
                | FriendshipRequested()
                | FriendshipAnswered()
                | MembershipApplied()
                | MembershipAnswered()
                | ChatRenamed()
            ):
                self._social.notify(notify, notice)
            case _:
                assert_never(notice)

    def _disconnect(self, account: AccountId) -> None:
        local = self._accounts.get(account)
        for recipient in local.recipients if local else ():
            recipient.close(1008, DISCONNECTED)
