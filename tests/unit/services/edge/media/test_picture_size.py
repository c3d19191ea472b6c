"""The size of a picture is read from its headers alone."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.identicons import avatar_png
from services.edge.media.mime_sniffing import PICTURES, UNKNOWN_SIZE, picture_size


def jpeg(*segments: tuple[int, bytes]) -> bytes:
    return b"\xff\xd8" + b"".join(struct.pack(">BBH", 0xFF, kind, len(data) + 2) + data for kind, data in segments)


def frame(width: int, height: int) -> bytes:
    return struct.pack(">BHHB", 8, height, width, 3)


def exif(order: str, orientation: int) -> bytes:
    """Returns EXIF data in which another entry is first, as cameras write it."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, 2)
    make = struct.pack(f"{order}HHII", 0x010F, 2, 4, 0)
    return b"Exif\0\0" + head + make + struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)


def webp(kind: bytes, data: bytes) -> bytes:
    return b"RIFF\0\0\0\0WEBP" + kind + struct.pack("<I", len(data)) + data


@pytest.mark.parametrize(
    ("mime", "head", "size"),
    [
        ("image/gif", b"GIF89a" + struct.pack("<HH", 320, 200), (320, 200)),
        ("image/webp", webp(b"VP8X", bytes(4) + b"\x7f\x02\0" + b"\xdf\x01\0"), (640, 480)),
        ("image/webp", webp(b"VP8L", b"\x2f" + struct.pack("<I", 639 | 479 << 14)), (640, 480)),
        ("image/webp", webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 640, 480)), (640, 480)),
        ("image/webp", webp(b"VP8 ", b"\0\0\0\0\0\0" + struct.pack("<HH", 640, 480)), UNKNOWN_SIZE),
        ("image/jpeg", jpeg((0xE0, b"JFIF"), (0xC4, b"table"), (0xC2, frame(640, 480))), (640, 480)),
        ("image/jpeg", jpeg((0xE1, exif("<", 6)), (0xC0, frame(640, 480))), (480, 640)),
        ("image/jpeg", jpeg((0xE1, exif(">", 8)), (0xE2, bytes(65_000)), (0xC0, frame(640, 480))), (480, 640)),
        ("image/jpeg", jpeg((0xE1, exif(">", 3)), (0xC0, frame(640, 480))), (640, 480)),
        ("image/jpeg", jpeg((0xE1, exif(">", 6)[:12]), (0xC0, frame(640, 480))), (640, 480)),
        ("image/jpeg", jpeg((0xC0, frame(0, 480))), UNKNOWN_SIZE),
        ("image/jpeg", jpeg((0xDA, b"scan"), (0xC0, frame(640, 480))), UNKNOWN_SIZE),
        ("video/mp4", b"", UNKNOWN_SIZE),
    ],
)
def test_each_type(mime: str, head: bytes, size: tuple[int, int]) -> None:
    assert picture_size(mime, head) == size


@pytest.mark.parametrize("endless", [b"\xff", jpeg((0xE0, b""))[2:]])
def test_a_search_in_a_jpeg_file_ends(endless: bytes) -> None:
    """Without an end, the search would stop the event loop for a long time."""
    for repeated, size in ((100, (640, 480)), (5_000, UNKNOWN_SIZE)):
        assert picture_size("image/jpeg", b"\xff\xd8" + endless * repeated + jpeg((0xC0, frame(640, 480)))[2:]) == size


def test_a_picture_of_our_own() -> None:
    width, height = picture_size("image/png", avatar_png("account", 1))
    assert width == height > 0


@given(st.sampled_from(sorted(PICTURES)), st.binary(max_size=200))
def test_no_bytes_do_harm(mime: str, noise: bytes) -> None:
    for head in (noise, jpeg((0xE1, b"Exif\0\0" + noise), (0xC0, noise)), webp(b"VP8X", noise)):
        width, height = picture_size(mime, head)
        assert (width > 0) == (height > 0)
