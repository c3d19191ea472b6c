"""Cleans the names of files that users see and save files under. This module is pure."""

import re
import unicodedata
from pathlib import PurePosixPath

from shared.names import without_invisible

_NAME_BYTES = 255
_EXTENSION_BYTES = 32
_CHARACTERS = 1_000
"""Characters of a name that are examined, because the time grows with the square of their number. The last ones are
examined for the extension."""


def safe_name(name: str) -> str:
    """Return the last component of a Unix or Windows path, in Unicode's composed form (NFC). Invisible characters are
    removed, except those that the name's script needs. The result has at most 255 bytes of UTF-8 and keeps its
    extension. It may be empty."""
    before, safe = "", re.split(r"[/\\]", name)[-1]
    if len(safe) > _CHARACTERS:
        safe = safe[: _CHARACTERS - _EXTENSION_BYTES] + safe[-_EXTENSION_BYTES:]
    while safe != before:  # a removal may bring about another sequence that must be removed
        before, safe = safe, _cleaned(safe)
    return safe


def _cleaned(name: str) -> str:
    return _shortened(without_invisible(unicodedata.normalize("NFC", name)).strip().rstrip(". "))


def _shortened(name: str) -> str:
    if len(name.encode()) <= _NAME_BYTES:
        return name
    extension = PurePosixPath(name).suffix
    if len(extension.encode()) > _EXTENSION_BYTES:
        extension = ""
    stem = name.removesuffix(extension).encode()[: _NAME_BYTES - len(extension.encode())]
    return stem.decode(errors="ignore") + extension
