"""Names of files, as people may see them and save under them; pure."""

import re
import unicodedata
from pathlib import PurePosixPath

_NAME_BYTES = 255
_EXTENSION_BYTES = 32
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of what cannot be seen: controls, line breaks, marks that turn the direction of writing."""


def safe_name(name: str) -> str:
    """The last part of a path in either notation, without what cannot be seen, in at most 255 bytes of UTF-8 with its
    extension kept; empty when nothing is left."""
    last = re.split(r"[/\\]", name)[-1]
    seen = "".join(character for character in last if unicodedata.category(character) not in _UNSEEN)
    stripped = seen.strip().rstrip(". ")
    return _shortened(stripped)


def _shortened(name: str) -> str:
    if len(name.encode()) <= _NAME_BYTES:
        return name
    extension = PurePosixPath(name).suffix
    if len(extension.encode()) > _EXTENSION_BYTES:
        extension = ""
    stem = name.removesuffix(extension).encode()[: _NAME_BYTES - len(extension.encode())]
    return stem.decode(errors="ignore") + extension
