"""The port for WebSocket parsers, implemented by two libraries.

Only the libraries' parsers are used; they never see the network. `framing` builds the server's frames.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from services.edge.gateway.framing import ParsedFrame, ProtocolViolation

Item_co = TypeVar("Item_co", covariant=True)


class Parser(Protocol[Item_co]):
    """The parser of one connection. It rejects malformed frames and single frames over the size limit."""

    violation: ProtocolViolation | None
    """Set once the peer has broken the protocol; `feed` has returned the frames before that. Nothing is fed after
    it."""

    @property
    def buffered(self) -> int:
        """Bytes of the incomplete item."""

    def feed(self, data: memoryview) -> Sequence[Item_co]:
        """The items that these bytes complete, in order."""


class FrameParser(Parser[ParsedFrame], Protocol):
    is_idle: bool
    """Whether it certainly holds no partial frame, so that the next frame may bypass it."""


def parser_factory(library: str, limit: int) -> Callable[[], FrameParser]:
    """A factory of parsers by `picows` or `websockets` for payloads up to `limit` bytes. Only that library is
    imported."""
    if library == "picows":
        from services.edge.gateway.parser_picows import PicowsParserPool

        return PicowsParserPool(limit)
    from services.edge.gateway.parser_websockets import WebsocketsParser

    return lambda: WebsocketsParser(limit)
