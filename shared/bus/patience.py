"""How long an attempt of an idempotent request waits before the request is repeated; pure.

A frozen replica stays in its queue group for seconds, and gets its share of the requests. A repeated one most likely
goes to another replica. A service that is slow is given more time, so that it is not asked everything twice.
"""

LEAST_SECONDS = 0.5
"""Far more than a reply takes, unless there is a queue."""
MOST_SECONDS = 2.0
_TIMES_SLOWER = 3.0
"""A reply may take so many times as long as the average of recent ones."""
_WEIGHT = 1 / 8
"""Of the newest reply. One that a frozen process sends when it wakes shows nothing of the others."""
_GROWTH = 1.5


class Patience:
    def __init__(self) -> None:
        self._average: dict[str, float] = {}
        """Seconds of recent replies, by subject."""

    def first(self, subject: str) -> float:
        """Seconds of the first attempt."""
        return min(max(LEAST_SECONDS, _TIMES_SLOWER * self._average.get(subject, 0.0)), MOST_SECONDS)

    def replied(self, subject: str, seconds: float) -> None:
        """A reply came so long after its attempt began."""
        average = self._average.get(subject, 0.0)
        self._average[subject] = average + _WEIGHT * (seconds - average)


def attempt(usual: float, left: float) -> float:
    """Seconds of an attempt of a request that has so many left. The last attempt has them all."""
    return usual if left >= 2 * usual else left


def longer(seconds: float) -> float:
    """Seconds of the attempt after one that had no reply."""
    return min(_GROWTH * seconds, MOST_SECONDS)
