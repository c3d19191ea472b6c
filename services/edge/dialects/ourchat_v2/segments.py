"""The segments of a v2 message (`msg`), in both directions. In frames to the client, every segment also has a readable
`text`, because clients show `msg[0].text` for every type of segment."""

from typing import Annotated, assert_never

import msgspec

from services.edge.dialects.addresses import media_id
from services.edge.dialects.text_fallback import render_segment
from shared.contract.model import Emoji, File, Image, Media, Recalled, Segment, Text
from shared.message_event import media_url
from shared.setting_types import Language
from shared.settings.limits import FrameLimits


class WireText(msgspec.Struct, tag_field="type", tag=0):
    text: str


class WireEmoji(msgspec.Struct, tag_field="type", tag=1):
    emoji_id: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
    text: str = ""


class _WireMedia(msgspec.Struct):
    """A picture or file. In frames from the client, only the address and the name are used. `size` is in bytes, and
    `hash` is the sha256 in hex."""

    url: str
    name: str = ""
    size: int = 0
    hash: str = ""
    text: str = ""


class WireImage(_WireMedia, tag_field="type", tag=2):
    pass


class WireFile(_WireMedia, tag_field="type", tag=3):
    pass


WireSegment = WireText | WireEmoji | WireImage | WireFile


def to_wire(segment: Segment, base_url: str, language: Language = "zh") -> WireSegment:
    match segment:
        case Text(text):
            return WireText(text)
        case Emoji(emoji_id):
            return WireEmoji(emoji_id, render_segment(segment, base_url, language))
        case Image(media):
            return WireImage(*_described(media, base_url), render_segment(segment, base_url, language))
        case File(media):
            return WireFile(*_described(media, base_url), render_segment(segment, base_url, language))
        case Recalled():
            return WireText(render_segment(segment, base_url, language))
        case _:
            assert_never(segment)


def from_wire(wire: WireSegment, limits: FrameLimits) -> Segment:
    """Convert a segment of a frame. Of a picture or file, only the media id and the name are taken. Raises
    DecodeError."""
    match wire:
        case WireText(text=text):
            return Text(text)
        case WireEmoji(emoji_id=emoji_id):
            return Emoji(emoji_id)
        case WireImage(url=url, name=name):
            return Image(_referenced(url, name, limits))
        case WireFile(url=url, name=name):
            return File(_referenced(url, name, limits))
        case _:
            assert_never(wire)


def _referenced(url: str, name: str, limits: FrameLimits) -> Media:
    return Media(media_id(url, limits), name, 0, "", "")


def _described(media: Media, base_url: str) -> tuple[str, str, int, str]:
    return media_url(media, base_url), media.name, media.size, media.sha256
