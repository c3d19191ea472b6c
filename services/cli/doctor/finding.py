"""What an examination finds."""

from collections.abc import Awaitable, Callable

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """`good` is None for what could not be examined from here; `text` says what was seen, or what to do."""

    what: str
    good: bool | None
    text: str


Examine = Callable[[], Awaitable[list[Finding]]]


def ok(what: str, text: str) -> Finding:
    return Finding(what, True, text)


def failed(what: str, wrong: str, advice: str) -> Finding:
    return Finding(what, False, f"{wrong}: {advice}")


def unknown(what: str, why: str) -> Finding:
    return Finding(what, None, why)
