"""Emoji, pictures and files as readable text, for dialects that have no form of their own for them."""

from typing import assert_never

from shared.contract.model import Emoji, File, Image, Media, Segment, Text


def only_text(segments: tuple[Segment, ...]) -> str | None:
    """The text of a message that is one text segment, as most are."""
    return segments[0].text if len(segments) == 1 and type(segments[0]) is Text else None


def render_message(segments: tuple[Segment, ...], base_url: str) -> str:
    """A message as one text, its segments joined by a space."""
    text = only_text(segments)
    return " ".join([render_segment(segment, base_url) for segment in segments]) if text is None else text


def render_segment(segment: Segment, base_url: str) -> str:
    match segment:
        case Text(text):
            return text
        case Emoji(emoji_id):
            return f"[emoji:{emoji_id}]"
        case Image(media):
            return f"[图片] {media.name} {media_url(media, base_url)}"
        case File(media):
            return f"[文件] {media.name} ({readable_size(media.size)}) {media_url(media, base_url)}"
        case _:
            assert_never(segment)


def media_url(media: Media, base_url: str) -> str:
    return f"{base_url}/media/{media.id}"


def readable_size(count: int) -> str:
    """A number of bytes: `512 B`, `1.5 KB`, `2.0 MB` (1024)."""
    if count < 1024:
        return f"{count} B"
    amount, units = count / 1024, ["GB", "MB", "KB"]
    while len(units) > 1 and round(amount, 1) >= 1024:
        amount /= 1024
        units.pop()
    return f"{amount:.1f} {units[-1]}"
