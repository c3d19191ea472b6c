"""Frames by `websockets`' sans-I/O protocol (the one under uvicorn's websockets-sansio): reference and fallback.

It takes lengths that are not in their shortest form, which picows refuses.
"""

import logging

from websockets.frames import Frame
from websockets.protocol import Protocol, Side, State

from services.edge.gateway.framing import PROTOCOL_ERROR, ParsedFrame, ProtocolViolation

_UNHEARD = logging.getLogger(f"{__name__}.library")
_UNHEARD.disabled = True


class WebsocketsParser:
    """The library also answers pings and close frames and sums up fragments; what it would write is dropped."""

    __slots__ = ("_protocol", "is_idle", "violation")

    def __init__(self, limit: int) -> None:
        self._protocol = Protocol(Side.SERVER, state=State.OPEN, max_size=limit, logger=_UNHEARD)
        self.violation: ProtocolViolation | None = None
        self.is_idle = False

    def feed(self, data: memoryview) -> list[ParsedFrame]:
        protocol = self._protocol
        protocol.receive_data(bytes(data))
        protocol.data_to_send()
        if protocol.parser_exc is not None:
            sent = protocol.close_sent
            self.violation = (
                ProtocolViolation(int(sent.code), sent.reason) if sent else ProtocolViolation(PROTOCOL_ERROR, "")
            )
        return [
            ParsedFrame(int(event.opcode), event.fin, bytes(event.data))
            for event in protocol.events_received()
            if isinstance(event, Frame)
        ]
