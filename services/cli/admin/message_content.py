"""The content of a message, as the operator's commands print it."""

from typing import Any

import msgspec

from shared.contract.body import unpack_segments
from shared.contract.model import Emoji, File, Image, Recalled, Segment, Text


def content_of(body: bytes) -> list[dict[str, Any]]:
    """Of each segment, one member: its kind, and what it holds."""
    return [_part(segment) for segment in unpack_segments(body)]


def _part(segment: Segment) -> dict[str, Any]:
    match segment:
        case Text():
            return {"text": segment.text}
        case Emoji():
            return {"emoji": segment.emoji_id}
        case Image() | File():
            kind = "image" if isinstance(segment, Image) else "file"
            return {kind: msgspec.structs.asdict(segment.media)}
        case Recalled():
            return {"recalled": True}
