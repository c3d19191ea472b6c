"""Detects a file's type from its first bytes, and never from what a client claims. Reads the size at which a picture is
shown, without decoding its pixels. This module is pure. The signatures are those of WHATWG's MIME Sniffing, and the
brands of ISO media those of the registry at mp4ra.org. The formats are those of PNG, GIF89a, RFC 9649 (WebP), ITU T.81
annex B (JPEG) and Exif 2.32 (orientation)."""

from collections.abc import Iterator
from struct import error, unpack_from
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


# The sizes of pictures


class PictureSize(NamedTuple):
    """The size in pixels. Both numbers are 0 if it is unknown."""

    width: int = 0
    height: int = 0


UNKNOWN_SIZE = PictureSize()
_LARGEST = 65_535
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""The markers that begin a JPEG frame. The frame contains the size."""
_APP1, _SCAN = 0xE1, 0xDA
_EXIF = b"Exif\0\0"
_ORIENTATION = 0x0112
_SEGMENTS = 1000
"""The most segments and fill bytes of a JPEG file that are read. Other programs write a few segments before the frame,
and each takes the time of the event loop."""
_TURNED = range(5, 9)
"""The orientations in which width and height are exchanged."""


def picture_size(mime: str, head: bytes) -> PictureSize:
    """Read the size. `mime`: the type of the file. `head`: the beginning of the file."""
    try:
        size = _READERS[mime](head) if mime in _READERS else UNKNOWN_SIZE
    except (error, IndexError):
        return UNKNOWN_SIZE
    return size if 0 < size.width <= _LARGEST and 0 < size.height <= _LARGEST else UNKNOWN_SIZE


def _png(head: bytes) -> PictureSize:
    return PictureSize(*unpack_from(">II", head, 16)) if head[12:16] == b"IHDR" else UNKNOWN_SIZE


def _gif(head: bytes) -> PictureSize:
    return PictureSize(*unpack_from("<HH", head, 6))


def _webp(head: bytes) -> PictureSize:
    match head[12:16]:
        case b"VP8X":
            width, high, height, highest = unpack_from("<HBHB", head, 24)
            return PictureSize((width | high << 16) + 1, (height | highest << 16) + 1)
        case b"VP8L" if head[20] == 0x2F:
            (bits,) = unpack_from("<I", head, 21)
            return PictureSize((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        case b"VP8 " if head[23:26] == b"\x9d\x01\x2a":
            width, height = unpack_from("<HH", head, 26)
            return PictureSize(width & 0x3FFF, height & 0x3FFF)
        case _:
            return UNKNOWN_SIZE


def _jpeg(head: bytes) -> PictureSize:
    turned = False
    for marker, start, stop in _segments(head):
        if marker == _APP1 and head.startswith(_EXIF, start):
            turned = _orientation(head[start + len(_EXIF) : stop]) in _TURNED
        elif marker in _FRAMES:
            height, width = unpack_from(">HH", head, start + 1)
            return PictureSize(height, width) if turned else PictureSize(width, height)
    return UNKNOWN_SIZE


def _segments(head: bytes) -> Iterator[tuple[int, int, int]]:
    """The marker of each segment before the first scan, and the start and end of its content."""
    at = 2
    for _ in range(_SEGMENTS):
        if head[at] != 0xFF or head[at + 1] == _SCAN:
            return
        if head[at + 1] == 0xFF:  # a fill byte may precede a marker
            at += 1
            continue
        (length,) = unpack_from(">H", head, at + 2)
        yield head[at + 1], at + 4, at + 2 + length
        at += 2 + max(length, 2)


def _orientation(exif: bytes) -> int:
    """Read the orientation. The result is 0 if the header has none or is damaged, so that the size can still be
    used."""
    order = "<" if exif[:2] == b"II" else ">"
    try:
        (directory,) = unpack_from(f"{order}I", exif, 4)
        (entries,) = unpack_from(f"{order}H", exif, directory)
        for at in range(directory + 2, directory + 2 + 12 * entries, 12):
            tag, _, _, value = unpack_from(f"{order}HHIH", exif, at)
            if tag == _ORIENTATION:
                return int(value)
    except error:
        pass
    return 0


_READERS = {"image/png": _png, "image/gif": _gif, "image/webp": _webp, "image/jpeg": _jpeg}
