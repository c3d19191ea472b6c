"""How long what waits will wait, by how long the last full rounds took: pure."""

from collections import deque

_ROUNDS = 8


class Pace:
    """Seconds come in. Only rounds that left something behind say how fast all of it can go; as long as not all of the
    last ones did, nothing waits for long. The quickest of them counts: a stall is no lack of strength."""

    def __init__(self) -> None:
        self._rounds: deque[float] = deque(maxlen=_ROUNDS)
        """Seconds for each message."""

    def took(self, messages: int, seconds: float, *, full: bool) -> None:
        if full:
            self._rounds.append(seconds / messages)
        else:
            self._rounds.clear()

    def wait(self, messages: int) -> float:
        """Seconds until so many are answered."""
        return messages * min(self._rounds) if len(self._rounds) == _ROUNDS else 0.0
