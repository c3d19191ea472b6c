"""Reads the size at which a picture is shown from the headers of its file, without decoding its pixels. This module is
pure.

The formats are those of PNG, GIF89a, RFC 9649 (WebP), ITU T.81 annex B (JPEG) and Exif 2.32 (orientation).
"""

from collections.abc import Iterator
from struct import error, unpack_from
from typing import NamedTuple


class PictureSize(NamedTuple):
    """The size in pixels. Both numbers are 0 if it is unknown."""

    width: int = 0
    height: int = 0


UNKNOWN = PictureSize()
_LARGEST = 65_535
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""The markers that begin a JPEG frame. The frame contains the size."""
_APP1, _SCAN = 0xE1, 0xDA
_EXIF = b"Exif\0\0"
_ORIENTATION = 0x0112
_TURNED = range(5, 9)
"""The orientations in which width and height are exchanged."""


def picture_size(mime: str, head: bytes) -> PictureSize:
    """Read the size. `mime`: the type of the file. `head`: the beginning of the file."""
    try:
        size = _READERS[mime](head) if mime in _READERS else UNKNOWN
    except (error, IndexError):
        return UNKNOWN
    return size if 0 < size.width <= _LARGEST and 0 < size.height <= _LARGEST else UNKNOWN


def _png(head: bytes) -> PictureSize:
    return PictureSize(*unpack_from(">II", head, 16)) if head[12:16] == b"IHDR" else UNKNOWN


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
            return UNKNOWN


def _jpeg(head: bytes) -> PictureSize:
    turned = False
    for marker, start, stop in _segments(head):
        if marker == _APP1 and head.startswith(_EXIF, start):
            turned = _orientation(head[start + len(_EXIF) : stop]) in _TURNED
        elif marker in _FRAMES:
            height, width = unpack_from(">HH", head, start + 1)
            return PictureSize(height, width) if turned else PictureSize(width, height)
    return UNKNOWN


def _segments(head: bytes) -> Iterator[tuple[int, int, int]]:
    """The marker of each segment before the first scan, and the start and end of its content."""
    at = 2
    while head[at] == 0xFF and head[at + 1] != _SCAN:
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
