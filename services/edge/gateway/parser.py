"""Bytes to frames, by either of two libraries: the one thing in which the WebSocket implementations differ.

Only their parsers are used; they never see the network. What the server writes is made in `framing`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from services.edge.gateway.framing import ParsedFrame, ProtocolViolation

Item_co = TypeVar("Item_co", covariant=True)


class Parser(Protocol[Item_co]):
    """The parser of one connection. Malformed frames, and single ones over the size limit, are its to refuse."""

    violation: ProtocolViolation | None
    """Set when the peer broke the protocol; what `feed` returned came before that. Nothing is fed after it."""

    def feed(self, data: memoryview) -> Sequence[Item_co]:
        """What these bytes complete, in order."""


class FrameParser(Parser[ParsedFrame], Protocol):
    is_idle: bool
    """Whether it surely holds no part of a frame: then it may be spared the next one."""


def parsers(library: str, limit: int) -> Callable[[], FrameParser]:
    """Makes parsers by `picows` or `websockets` (only that one is imported) for payloads up to `limit` bytes."""
    if library == "picows":
        from services.edge.gateway.parser_picows import PicowsParserPool

        return PicowsParserPool(limit)
    from services.edge.gateway.parser_websockets import WebsocketsParser

    return lambda: WebsocketsParser(limit)
