"""Renders emoji, pictures, files, replies and recalled messages as readable text, for dialects whose frames cannot
represent such content."""

from collections.abc import Mapping
from typing import assert_never

from shared.contract.model import Emoji, File, Image, Quote, Recalled, Segment, Text
from shared.message_event import media_url
from shared.setting_types import Language

_IMAGE: Mapping[Language, str] = {"zh": "图片", "en": "image"}
_FILE: Mapping[Language, str] = {"zh": "文件", "en": "file"}
RECALLED: Mapping[Language, str] = {"zh": "[撤回]", "en": "[recalled]"}
_QUOTE_CHARACTERS = 80


def only_text(segments: tuple[Segment, ...]) -> str | None:
    """The text of a message with a single text segment, as most messages are. None for any other message."""
    return segments[0].text if len(segments) == 1 and type(segments[0]) is Text else None


def render_message(segments: tuple[Segment, ...], base_url: str, language: Language = "zh") -> str:
    """Return a message as one text, with a space between its segments."""
    text = only_text(segments)
    return " ".join([render_segment(segment, base_url, language) for segment in segments]) if text is None else text


def render_segment(segment: Segment, base_url: str, language: Language = "zh") -> str:
    match segment:
        case Text(text):
            return text
        case Emoji(emoji_id):
            return f"[emoji:{emoji_id}]"
        case Image(media):
            return f"[{_IMAGE[language]}] {media.name} {media_url(media, base_url)}"
        case File(media):
            return f"[{_FILE[language]}] {media.name} ({readable_size(media.size)}) {media_url(media, base_url)}"
        case Recalled():
            return RECALLED[language]
        case _:
            assert_never(segment)


def with_quote(quote: Quote, segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """Return a reply as segments. They begin with a line that quotes the beginning of the other message."""
    line = _one_line(f"> {_one_line(quote.name)}: {quote.text}")
    first = segments[0] if segments else None
    if isinstance(first, Text):
        return (Text(f"{line}\n{first.text}"), *segments[1:])
    return (Text(f"{line}\n"), *segments)


def quote_text(segments: tuple[Segment, ...], language: Language) -> str:
    """The beginning of a message on one line, without the addresses of pictures and files."""
    return _one_line(" ".join([_named(segment, language) for segment in segments]))


def _named(segment: Segment, language: Language) -> str:
    match segment:
        case Image(media):
            return f"[{_IMAGE[language]}] {media.name}"
        case File(media):
            return f"[{_FILE[language]}] {media.name}"
        case _:
            return render_segment(segment, "", language)


def _one_line(text: str) -> str:
    """Return the text without line breaks. A long text is cut."""
    line = " ".join(text.split())
    return line if len(line) <= _QUOTE_CHARACTERS else f"{line[: _QUOTE_CHARACTERS - 1]}…"


def readable_size(count: int) -> str:
    """Write a number of bytes, as in `512 B`, `1.5 KB`, `2.0 MB`. A KB is 1,024 bytes."""
    if count < 1024:
        return f"{count} B"
    amount, units = count / 1024, ["GB", "MB", "KB"]
    while len(units) > 1 and round(amount, 1) >= 1024:
        amount /= 1024
        units.pop()
    return f"{amount:.1f} {units[-1]}"
