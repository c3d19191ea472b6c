"""Records which messages each connection of an account gets during an audit. Pure."""

from services.edge.journal import DeliveryRecord
from services.edge.presence.local_accounts import LocalAccount, Recipient
from shared.contract.ids import ChatId


class DeliveryWatch:
    """Of the connections that the account has when the watch begins. A context manager: connections do not record after
    its end."""

    def __init__(self, local: LocalAccount) -> None:
        self._watched = [(recipient, DeliveryRecord()) for recipient in local.recipients]

    def __enter__(self) -> "DeliveryWatch":
        for recipient, record in self._watched:
            recipient.keep_record(record)
        return self

    def __exit__(self, *_: object) -> None:
        for recipient, record in self._watched:
            if recipient.record is record:
                recipient.keep_record(None)

    def lacking(self, chat: ChatId, index: int) -> list[Recipient]:
        """The connections that have not got this message, without those whose login has ended."""
        return [
            recipient
            for recipient, record in self._watched
            if recipient.record is record and not record.contains(chat, index)
        ]
