"""The messages and chats of this session, for protocols that can list neither; pure."""

from collections import deque
from collections.abc import Sequence

from clients.codec.base import Destination

_MOST = 1000


class Transcript:
    """The latest lines, and every chat that was opened, joined, written in or written to."""

    def __init__(self) -> None:
        self._lines: deque[tuple[Destination, str]] = deque(maxlen=_MOST)
        self._chats: dict[Destination, None] = {}

    @property
    def chats(self) -> Sequence[Destination]:
        return [*self._chats]

    def clear(self) -> None:
        """Another account logs in."""
        self._lines.clear()
        self._chats.clear()

    def add_chat(self, chat: Destination) -> None:
        self._chats[chat] = None

    def add(self, chat: Destination, line: str) -> None:
        self.add_chat(chat)
        self._lines.append((chat, line))

    def lines(self, chat: Destination, count: int) -> Sequence[str]:
        """The last of a chat, oldest first."""
        return [line for place, line in self._lines if place == chat][-count:] if count else []
