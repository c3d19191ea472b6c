import hashlib
import struct
import zlib
from typing import get_args

import pytest

from services.edge.identicons import Kind, avatar_hash, avatar_png

SIDE = 96


def chunks(png: bytes) -> dict[bytes, bytes]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    found: dict[bytes, bytes] = {}
    rest = png[8:]
    while rest:
        size, name = struct.unpack("!I4s", rest[:8])
        found[name] = rest[8 : 8 + size]
        (checksum,) = struct.unpack("!I", rest[8 + size : 12 + size])
        assert checksum == zlib.crc32(name + found[name])
        rest = rest[12 + size :]
    return found


def lines(png: bytes) -> list[str]:
    """Returns the pixels as digits. 0 is the background."""
    data = zlib.decompress(chunks(png)[b"IDAT"])
    stride = SIDE // 8 + 1
    assert len(data) == SIDE * stride
    rows = [data[start : start + stride] for start in range(0, len(data), stride)]
    assert all(row[0] == 0 for row in rows), "no filter"
    return ["".join(f"{byte:08b}" for byte in row[1:]) for row in rows]


@pytest.mark.parametrize("number", [1, 2, 255, 2**53 - 1])
@pytest.mark.parametrize("kind", get_args(Kind))
def test_an_avatar_is_a_symmetrical_picture_on_a_light_background(kind: Kind, number: int) -> None:
    png = avatar_png(kind, number)
    parts = chunks(png)
    assert list(parts) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    assert struct.unpack("!IIBBBBB", parts[b"IHDR"]) == (SIDE, SIDE, 1, 3, 0, 0, 0)
    assert min(parts[b"PLTE"][:3]) > 220
    assert all(line == line[::-1] for line in lines(png))
    assert len(png) < 2000


def test_avatars_differ() -> None:
    pictures = {avatar_png(kind, number) for kind in get_args(Kind) for number in range(1, 201)}
    assert len(pictures) > 380


@pytest.mark.parametrize(
    ("kind", "number", "digest"),
    [
        ("account", 1, "0598e7938cc319538173580f14e1c10f303318f1abbe27ab3ecd63ca9bfb485a"),
        ("chat", 1, "a4f44283ee3d6a50312eb04d44ca93017b2959fbef5df8f38d287ffc18c36339"),
    ],
)
def test_an_avatar_never_changes(kind: Kind, number: int, digest: str) -> None:
    """Clients store the hash of an avatar, which must be the same on any edge and in any version."""
    assert avatar_hash(kind, number) == digest == hashlib.sha256(avatar_png(kind, number)).hexdigest()
