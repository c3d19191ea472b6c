"""What session and auth tell this node, to whom it concerns here."""

from typing import assert_never

import msgspec

from services.edge.client.endpoint import ConnectionRegistry
from services.edge.context import EdgeContext
from services.edge.login.login import LoginFlow
from services.edge.login.revocations import RevocationWatcher
from services.edge.notifications import social
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

_decode = msgspec.msgpack.Decoder(Notify).decode


class NotificationReceiver:
    def __init__(
        self, node: EdgeContext, endpoint: ConnectionRegistry, entrance: LoginFlow, watcher: RevocationWatcher
    ) -> None:
        self._node = node
        self._endpoint = endpoint
        self._entrance = entrance
        self._watcher = watcher

    def subscribe(self) -> None:
        """Before the bus starts."""
        self._node.bus.subscribe(subjects.notify(self._node.id), self.receive)
        self._node.bus.subscribe(subjects.NOTIFY_ALL, self.receive)

    def receive(self, data: bytes) -> None:
        notify = _decode(data)
        notice = notify.notice
        match notice:
            case ChatCreated():
                self._node.chats.on_chat_created(notice)
                social.notify_added(self._node, notice)
            case MembershipChanged():
                self._node.chats.on_membership_changed(notice)
            case Revoked():
                self._watcher.revoked(notice.revocations)
            case Kicked():
                resident = self._node.accounts.get(notice.account)
                for recipient in resident.recipients if resident else ():
                    recipient.close(1008, "disconnected by the operator")
            case MaintenanceSet():
                self._watcher.maintenance(notice.on)
            case VerificationOpened():
                if client := self._endpoint.clients.get(notice.connection):
                    self._entrance.verification_opened(client, notice.ticket, notice.passed)
            case (
                ProfileChanged()
                | FriendshipRequested()
                | FriendshipAnswered()
                | MembershipApplied()
                | MembershipAnswered()
                | ChatRenamed()
            ):
                social.notify(self._node, notify, notice)
            case _:
                assert_never(notice)
