"""Frames: the units that a socket sends and receives."""

import msgspec

from shared.contract.model import Media


class Binary(msgspec.Struct, frozen=True):
    """A binary WebSocket frame. A text frame is plain `bytes`, in UTF-8."""

    data: bytes

    def __len__(self) -> int:
        return len(self.data)


Frame = bytes | Binary


class MediaPayload(msgspec.Struct, frozen=True):
    """A picture or file in the dialect's own form. A text frame announces it, and `packages` binary frames of nearly
    equal size follow. If the bytes cannot be read, `fallback` is sent instead."""

    announcement: bytes
    media: Media
    packages: int
    fallback: bytes

    def __len__(self) -> int:
        """The bytes that the frames take in memory while they wait."""
        return len(self.announcement) + len(self.fallback)


Outgoing = Frame | MediaPayload
"""The output of a dialect."""
