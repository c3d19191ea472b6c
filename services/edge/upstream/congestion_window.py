"""How many messages of an edge are under way: pure. While answers take long, more would only wait elsewhere, where what
waits can neither be refused nor taken back."""

_LEAST = 1_536
"""Far more than one connection's run."""
_MOST = 32_768


class CongestionWindow:
    """Counts messages."""

    __slots__ = ("_size", "_under_way")

    def __init__(self) -> None:
        self._size = _LEAST
        self._under_way = 0

    def has_room(self, messages: int) -> bool:
        return self._under_way + messages <= self._size

    def sent(self, messages: int) -> None:
        self._under_way += messages

    def acknowledged(self, messages: int, *, soon: bool, is_full: bool) -> None:
        """`is_full`: more waits for room. In the time that an answer takes the window is doubled, or halved."""
        self._under_way -= messages
        if not soon:
            self._size = max(_LEAST, self._size - messages // 2)
        elif is_full:
            self._size = min(_MOST, self._size + messages)
