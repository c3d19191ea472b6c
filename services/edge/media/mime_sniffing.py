"""Detects a file's type from its first bytes, and never from what a client claims. This module is pure. The signatures
are those of WHATWG's MIME Sniffing, and the brands of ISO media those of the registry at mp4ra.org."""

from collections.abc import Iterator
from typing import Literal, NamedTuple


class FileType(NamedTuple):
    """`extension` includes the dot, or is empty."""

    mime: str
    extension: str


UNKNOWN = FileType("application/octet-stream", "")
_PNG = FileType("image/png", ".png")
_JPEG = FileType("image/jpeg", ".jpg")
_GIF = FileType("image/gif", ".gif")
_WEBP = FileType("image/webp", ".webp")
_WEBM = FileType("video/webm", ".webm")
_M4A = FileType("audio/mp4", ".m4a")
_AVIF = FileType("image/avif", ".avif")
_HEIC = FileType("image/heic", ".heic")
_MP4 = FileType("video/mp4", ".mp4")
PICTURES = frozenset(one.mime for one in (_PNG, _JPEG, _GIF, _WEBP))
"""Types that every client knows and that browsers can display safely, because these types contain no active content.
Photographs in other formats, such as those of phones (HEIC, AVIF), are files."""
SHOWN = PICTURES | {one.mime for one in (_MP4, _WEBM, _M4A)}
"""Types that browsers can display or play, and that contain no active content. Messages show videos and sounds as
files."""

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
_BRANDS = (
    ((b"avif", b"avis"), _AVIF),
    ((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), _HEIC),
    ((b"mif1", b"msf1"), FileType("image/heif", ".heif")),
    ((b"crx ",), FileType("image/x-canon-cr3", ".cr3")),
    ((b"M4A ", b"M4B ", b"M4P "), _M4A),
    ((b"qt  ",), FileType("video/quicktime", ".mov")),
    ((b"3gp", b"3gr", b"3gs"), FileType("video/3gpp", ".3gp")),
    ((b"3g2",), FileType("video/3gpp2", ".3g2")),
    ((b"mp4", b"iso", b"avc1", b"dash", b"M4V", b"MSNV", b"mmp4", b"f4v "), _MP4),
)
"""For each type, the beginnings of its brands. The type of a file is the first in this list that matches its major
brand. If none matches, it is the first that matches another of its brands."""
_GENERAL_BRANDS = (b"mif1", b"msf1")
"""All pictures of this family have these brands. A second brand shows the type."""
_DOCUMENT_TYPE = b"\x42\x82"
"""The id of the EBML element that names the type of the document (RFC 8794)."""
_DOCUMENTS = {b"webm": _WEBM, b"matroska": FileType("video/matroska", ".mkv")}


def media_kind(head: bytes) -> Literal["image", "file"]:
    """Whether messages show a file with these first bytes as an image or as a file."""
    return "image" if sniff(head).mime in PICTURES else "file"


def sniff(head: bytes) -> FileType:
    """Detect the type. `head`: the first 64 bytes of a file, or more."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _WEBP
    if head[4:8] == b"ftyp":
        return _of_brands(head)
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return _of_document(head)
    return next((kind for signature, kind in _SIGNATURES if head.startswith(signature)), UNKNOWN)


def _of_brands(head: bytes) -> FileType:
    major, *others = _brands(head)
    found = [] if major in _GENERAL_BRANDS else _types((major,))
    return next(iter(found or _types(others) or _types((major,))), UNKNOWN)


def _brands(head: bytes) -> Iterator[bytes]:
    """The major brand of a file, and the brands with which the file is compatible."""
    end = min(len(head), int.from_bytes(head[:4], "big"))
    yield head[8:12]
    yield from (head[at : at + 4] for at in range(16, end - 3, 4))


def _types(brands: tuple[bytes, ...] | list[bytes]) -> list[FileType]:
    """The file types of these brands, in the order of `_BRANDS`."""
    return [kind for beginnings, kind in _BRANDS if any(brand.startswith(beginnings) for brand in brands)]


def _of_document(head: bytes) -> FileType:
    _, found, value = head.partition(_DOCUMENT_TYPE)
    if not found or not value or not value[0] & 0x80:
        return UNKNOWN
    return _DOCUMENTS.get(value[1 : 1 + (value[0] & 0x7F)].rstrip(b"\0"), UNKNOWN)
