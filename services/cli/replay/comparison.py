"""Compares frames of a record with those of a server; pure."""

import re
from collections.abc import Callable

_MASK = re.compile(r"<secret-\d+>|eyJ-secret-\d+\.masked\.masked|\b0{24,}[0-9a-f]+\b")
"""See services.edge.recording."""
_LONG_NUMBER = re.compile(r"\d{10,}")
"""A time, an OC number or the number of a message: these differ from one system to another."""

MaskSecrets = Callable[[bytes, Callable[[str], str]], bytes | None]
_HIDDEN = "<secret>"


def comparable(text: str) -> str:
    """A frame of a record without its secrets and long numbers."""
    return _LONG_NUMBER.sub("#", _MASK.sub(_HIDDEN, text))


def comparable_live(frame: bytes, mask_secrets: MaskSecrets) -> str:
    """A server's frame, in the same form."""
    masked = mask_secrets(frame, lambda _: _HIDDEN)
    return f"({len(frame)} bytes)" if masked is None else comparable(masked.decode())


def learn_secrets(recorded: str, live: bytes, mask_secrets: MaskSecrets) -> dict[str, str]:
    """The server's secret for each mask of the recorded frame, such as a token; empty if the frames do not match."""
    masks, found = _MASK.findall(recorded), list[str]()

    def collect(secret: str) -> str:
        found.append(secret)
        return _HIDDEN

    mask_secrets(live, collect)
    return dict(zip(masks, found, strict=True)) if len(masks) == len(found) else {}


def substitute(text: str, replacements: dict[str, str]) -> str:
    for old in sorted(replacements, key=len, reverse=True):
        text = text.replace(old, replacements[old])
    return text
