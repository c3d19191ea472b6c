"""The position of one connection in one chat's undelivered tail. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field

from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Message


@dataclass(slots=True)
class ChatCursor:
    """Shows messages after index `after` (None: from the first undelivered one), except ranges in `read`. Indexes
    from `fresh` on arrived after the login and are always shown."""

    chat: ChatId
    account: AccountId
    after: int | None
    fresh: int
    read: list[tuple[int, int]] = field(default_factory=list)
    since: float = 0.0
    """The client requests messages from before this time by itself. Unix milliseconds by the clock of messages."""
    at_head: bool = False
    """The connection has everything, and changes over to live messages."""

    def shows(self, message: Message, awaits_reply: Callable[[Message], bool]) -> bool:
        """Whether the connection is shown this message. `awaits_reply`: to this message of its own."""
        is_recent = message.time >= self.since
        if message.index >= self.fresh and is_recent:
            return True
        if message.sender == self.account:
            return awaits_reply(message)
        return is_recent and not any(low <= message.index <= high for low, high in self.read)
