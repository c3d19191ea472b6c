"""What session and auth tell this node, to whom it concerns here."""

from typing import assert_never

import msgspec

from services.edge.client.endpoint import Endpoint
from services.edge.context import Node
from services.edge.login.login import Entrance
from services.edge.login.revocations import Watcher
from services.edge.notifications.social import tell, tell_put_in
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


class Notices:
    def __init__(self, node: Node, endpoint: Endpoint, entrance: Entrance, watcher: Watcher) -> None:
        self._node = node
        self._endpoint = endpoint
        self._entrance = entrance
        self._watcher = watcher

    def listen(self) -> None:
        """Before the bus starts."""
        self._node.bus.listen(subjects.notify(self._node.id), self.receive)
        self._node.bus.listen(subjects.NOTIFY_ALL, self.receive)

    def receive(self, data: bytes) -> None:
        notify = _decode(data)
        notice = notify.notice
        match notice:
            case ChatCreated():
                self._node.chats.created(notice)
                tell_put_in(self._node, notice)
            case MembershipChanged():
                self._node.chats.changed(notice)
            case Revoked():
                self._watcher.revoked(notice.revocations)
            case Kicked():
                resident = self._node.residents.get(notice.account)
                for recipient in resident.recipients if resident else ():
                    recipient.hang_up(1008, "disconnected by the operator")
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
                tell(self._node, notify, notice)
            case _:
                assert_never(notice)
