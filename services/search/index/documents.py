"""Extracts from a message the texts and fields by which it is found, without input or output."""

import re
from collections.abc import Iterable

import msgspec

from shared.contract.body import EXPIRED_BODY, RECALLED_BODY, unpack_segments
from shared.contract.model import File, Image, Segment, Text
from shared.contract.search import ContentKind

_LINK = re.compile(r"https?://\w", re.IGNORECASE)


def segments_of(body: bytes) -> tuple[Segment, ...]:
    """The segments of a body; empty for a recalled or expired message."""
    if body in (RECALLED_BODY, EXPIRED_BODY):
        return ()
    try:
        return unpack_segments(body)
    except msgspec.MsgspecError:
        return ()


def text_of(segments: Iterable[Segment]) -> str:
    """The texts of a message, and the names of its files."""
    return "\n".join(filter(None, map(_shown, segments)))


def kinds_of(segments: Iterable[Segment], text: str) -> set[ContentKind]:
    types = {type(segment) for segment in segments}
    found = {ContentKind.IMAGE} if Image in types else set()
    found |= {ContentKind.FILE} if File in types else set()
    return found | ({ContentKind.LINK} if "://" in text and _LINK.search(text) else set())


def _shown(segment: Segment) -> str:
    match segment:
        case Text(text):
            return text
        case File(media):
            return media.name
        case _:
            return ""
