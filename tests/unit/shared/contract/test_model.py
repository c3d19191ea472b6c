"""The packed body of a message."""

import msgspec
import pytest

from shared.contract.model import (
    Body,
    Emoji,
    File,
    Image,
    Media,
    Segment,
    Text,
    pack_segments,
    unpack,
    unpack_segments,
)

MEDIA = Media("00112233445566778899aabbccddeeff", "cat.png", 512, "ab", "image/png")
SENT_IN_PACKAGES = Media("00112233445566778899aabbccddeeff", "cat.png", 512, "ab", "image/png", packages=3)


@pytest.mark.parametrize("segments", [(), (Text("x"),), (Text(""), Emoji(3), Image(MEDIA), File(SENT_IN_PACKAGES))])
@pytest.mark.parametrize("dialect", ["", "pipe"])
def test_segments_and_the_mark_come_back(segments: tuple[Segment, ...], dialect: str) -> None:
    body = pack_segments(segments, dialect)
    assert unpack(body) == Body(segments, dialect)
    assert unpack_segments(body) == segments


def test_a_body_stored_before_packages_were_counted_is_read() -> None:
    body = msgspec.msgpack.encode([["i", ["00ff", "cat.png", 512, "ab", "image/png"]]])
    assert unpack_segments(body) == (Image(Media("00ff", "cat.png", 512, "ab", "image/png", 0)),)


def test_only_a_mark_takes_room() -> None:
    assert pack_segments((Text("x"),)) == b"\x91\x92\xa1t\xa1x"
    assert len(pack_segments((Text("x"),), "pipe")) == 14
