"""Makes the default avatars of accounts and chats: symmetrical patterns that are computed from kind and number.

The bytes are the same on every edge and in every version, because clients compare their sha256. A compressor may
produce other bytes in another version. So this code uses only deflate's stored blocks (RFC 1951, section 3.2.4), and no
floating point.
"""

import hashlib
import struct
import zlib
from functools import lru_cache
from typing import Literal

Kind = Literal["account", "chat"]

_CELLS = 5
_SIDE = 96
"""The length of a side in pixels: five cells of 16, and margins of 8. So each cell begins at a whole byte of one-bit
pixels."""
_BACKGROUNDS = {"account": (0xF4, 0xF4, 0xF2), "chat": (0xEA, 0xF0, 0xF4)}
_COLOURS = (
    (0xC0, 0x39, 0x2B), (0xD3, 0x54, 0x00), (0xB7, 0x86, 0x0B), (0x7A, 0x8B, 0x1F), (0x2E, 0x8B, 0x57),
    (0x1A, 0x8F, 0x8A), (0x24, 0x7B, 0xA0), (0x2F, 0x5D, 0xA8), (0x4B, 0x4E, 0xA6), (0x7D, 0x3C, 0x98),
    (0xA8, 0x32, 0x79), (0xC2, 0x18, 0x5B), (0x8D, 0x5A, 0x3B), (0x5D, 0x6D, 0x7E), (0x1F, 0x61, 0x8D),
    (0x6B, 0x4E, 0x71),
)  # fmt: skip


def avatar_path(kind: Kind, number: int) -> str:
    """The path of the avatar below the public URL of every edge."""
    return f"/avatar/{kind}/{number}.png"


def avatar_png(kind: Kind, number: int) -> bytes:
    digest = hashlib.sha256(f"{kind}:{number}".encode()).digest()
    palette = bytes((*_BACKGROUNDS[kind], *_COLOURS[digest[0] % len(_COLOURS)]))
    header = struct.pack("!IIBBBBB", _SIDE, _SIDE, 1, 3, 0, 0, 0)
    pixels = b"".join(_row(digest[1 + row]) * 16 for row in range(_CELLS))
    margin = _line(b"\x00" * 10) * 8
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"PLTE", palette)
        + _chunk(b"IDAT", _stored(margin + pixels + margin))
        + _chunk(b"IEND", b"")
    )


@lru_cache(maxsize=65_536)
def avatar_hash(kind: Kind, number: int) -> str:
    """The sha256 of the PNG file, in hex."""
    return hashlib.sha256(avatar_png(kind, number)).hexdigest()


def _row(bits: int) -> bytes:
    """One line of pixels in a row of cells. Three bits are the left half and the middle, and the right half mirrors the
    left."""
    half = [b"\xff\xff" if bits >> column & 1 else b"\x00\x00" for column in range(3)]
    return _line(b"".join((*half, half[1], half[0])))


def _line(cells: bytes) -> bytes:
    """Put a margin at both ends of the line, and PNG's filter byte (none) before it."""
    return b"\x00\x00" + cells + b"\x00"


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + name + data + struct.pack("!I", zlib.crc32(name + data))


def _stored(data: bytes) -> bytes:
    """A zlib stream with one stored block of at most 65,535 bytes."""
    size = len(data)
    return b"\x78\x01\x01" + struct.pack("<HH", size, size ^ 0xFFFF) + data + struct.pack("!I", zlib.adler32(data))
