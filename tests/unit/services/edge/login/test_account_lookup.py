"""The time that a login's look-ups have."""

from collections.abc import Iterator

from services.edge.login import account_lookup
from services.message.adapters import databases
from shared.bus.patience import LEAST_SECONDS, MOST_SECONDS, attempt, longer


def attempts(usual: float, left: float) -> Iterator[float]:
    """Of a request that is never answered."""
    while left > 0:
        yield (seconds := attempt(usual, left))
        left, usual = left - seconds, longer(usual)


def test_unread_messages_are_counted_while_a_database_is_away() -> None:
    """However slow recent replies were, an attempt waits longer than the replica does for a part that does not come,
    with 0.05 s for the rest of its work."""
    steps = 200
    for step in range(steps + 1):
        usual = LEAST_SECONDS + (MOST_SECONDS - LEAST_SECONDS) * step / steps
        longest = max(attempts(usual, account_lookup._UNREAD_SECONDS))
        assert longest >= databases._PART_SECONDS + 0.05, usual
