"""Bounds the messages in flight of an edge (additive increase, multiplicative decrease). Pure.

While replies take long, more messages would only wait in the message service, which cannot reject them there.
"""

_MIN_MESSAGES = 1_536
"""Far more than one connection's batch."""
_MAX_MESSAGES = 32_768


class CongestionWindow:
    """Counts messages."""

    __slots__ = ("_in_flight", "_size")

    def __init__(self) -> None:
        self._size = _MIN_MESSAGES
        self._in_flight = 0

    def has_room(self, messages: int) -> bool:
        return self._in_flight + messages <= self._size

    def sent(self, messages: int) -> None:
        self._in_flight += messages

    def acknowledged(self, messages: int, *, soon: bool, limited: bool) -> None:
        """`soon`: the reply was quick; `limited`: more messages wait for room. Within the time of a reply the window is
        doubled or halved."""
        self._in_flight -= messages
        if not soon:
            self._size = max(_MIN_MESSAGES, self._size - messages // 2)
        elif limited:
            self._size = min(_MAX_MESSAGES, self._size + messages)
