"""The most common passwords, from zxcvbn's list."""

from collections.abc import Collection


def load() -> Collection[str]:
    """30,000 passwords in lower case."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    return frozenset(FREQUENCY_LISTS["passwords"])
