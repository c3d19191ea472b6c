"""Detects a file's type by its first bytes, never by a client's claim; pure. (Signatures: WHATWG, MIME Sniffing.)"""

from typing import Literal, NamedTuple


class FileType(NamedTuple):
    """`extension` has its dot, or is empty."""

    mime: str
    extension: str


UNKNOWN = FileType("application/octet-stream", "")
_PNG = FileType("image/png", ".png")
_JPEG = FileType("image/jpeg", ".jpg")
_GIF = FileType("image/gif", ".gif")
_WEBP = FileType("image/webp", ".webp")
PICTURES = frozenset(one.mime for one in (_PNG, _JPEG, _GIF, _WEBP))
"""Safe to display in a browser: they contain no active content."""

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", _PNG),
    (b"\xff\xd8\xff", _JPEG),
    (b"GIF87a", _GIF),
    (b"GIF89a", _GIF),
    (b"%PDF-", FileType("application/pdf", ".pdf")),
    (b"PK\x03\x04", FileType("application/zip", ".zip")),
    (b"\x1f\x8b\x08", FileType("application/gzip", ".gz")),
    (b"OggS\x00", FileType("application/ogg", ".ogg")),
    (b"ID3", FileType("audio/mpeg", ".mp3")),
)


def media_kind(head: bytes) -> Literal["image", "file"]:
    """What a file of these first bytes is for messages."""
    return "image" if sniff(head).mime in PICTURES else "file"


def sniff(head: bytes) -> FileType:
    """`head` is the first 12 bytes of a file, or more."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _WEBP
    if head[4:8] == b"ftyp":
        return FileType("video/mp4", ".mp4")
    return next((kind for signature, kind in _SIGNATURES if head.startswith(signature)), UNKNOWN)
