"""Sanitizes file names that users see and save files under; pure."""

import re
import unicodedata
from pathlib import PurePosixPath

_NAME_BYTES = 255
_EXTENSION_BYTES = 32
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of invisible characters: controls, line breaks, marks that change the writing direction."""


def safe_name(name: str) -> str:
    """The last component of a Unix or Windows path without invisible characters, in at most 255 bytes of UTF-8 with its
    extension. May be empty."""
    last = re.split(r"[/\\]", name)[-1]
    visible = "".join(character for character in last if unicodedata.category(character) not in _INVISIBLE)
    stripped = visible.strip().rstrip(". ")
    return _shortened(stripped)


def _shortened(name: str) -> str:
    if len(name.encode()) <= _NAME_BYTES:
        return name
    extension = PurePosixPath(name).suffix
    if len(extension.encode()) > _EXTENSION_BYTES:
        extension = ""
    stem = name.removesuffix(extension).encode()[: _NAME_BYTES - len(extension.encode())]
    return stem.decode(errors="ignore") + extension
