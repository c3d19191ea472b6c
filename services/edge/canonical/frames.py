"""Frames: the units that go over a socket, either way."""

from dataclasses import dataclass

from shared.contract.model import Media


@dataclass(frozen=True, slots=True)
class Binary:
    """A binary WebSocket frame; text frames are plain `bytes`, UTF-8."""

    data: bytes

    def __len__(self) -> int:
        return len(self.data)


Frame = bytes | Binary

"""What goes over a socket, either way."""


@dataclass(frozen=True, slots=True)
class MediaPayload:
    """A picture or file in the client's own form: a text frame that announces it, then its bytes in so many binary
    ones, as even as can be. Where the bytes cannot be had, `otherwise` is written instead."""

    announcement: bytes
    media: Media
    packages: int
    otherwise: bytes

    def __len__(self) -> int:
        """What has to be kept of it while it waits."""
        return len(self.announcement) + len(self.otherwise)


Outgoing = Frame | MediaPayload

"""What a dialect writes."""
