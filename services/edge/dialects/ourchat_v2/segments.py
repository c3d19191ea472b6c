"""The segments of a v2 message (`msg`), both ways. All but text also carry their rendering as `text` on output,
because clients show `msg[0].text` whatever its type."""

from typing import Annotated, assert_never

import msgspec

from services.edge.dialects.rendering import media_url, render
from shared.contract.model import Emoji, File, Image, Media, Segment, Text


class WireText(msgspec.Struct, tag_field="type", tag=0):
    text: str


class WireEmoji(msgspec.Struct, tag_field="type", tag=1):
    emoji_id: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
    text: str = ""


class WireImage(msgspec.Struct, tag_field="type", tag=2):
    """On input the address alone counts; `size` in bytes, `hash` the sha256 in hex."""

    url: str
    name: str = ""
    size: int = 0
    hash: str = ""
    text: str = ""


class WireFile(msgspec.Struct, tag_field="type", tag=3):
    """As an image."""

    url: str
    name: str = ""
    size: int = 0
    hash: str = ""
    text: str = ""


WireSegment = WireText | WireEmoji | WireImage | WireFile


def to_wire(segment: Segment, base_url: str) -> WireSegment:
    match segment:
        case Text(text):
            return WireText(text)
        case Emoji(emoji_id):
            return WireEmoji(emoji_id, render(segment, base_url))
        case Image(media):
            return WireImage(*_described(media, base_url), render(segment, base_url))
        case File(media):
            return WireFile(*_described(media, base_url), render(segment, base_url))
        case _:
            assert_never(segment)


def _described(media: Media, base_url: str) -> tuple[str, str, int, str]:
    return media_url(media, base_url), media.name, media.size, media.sha256
