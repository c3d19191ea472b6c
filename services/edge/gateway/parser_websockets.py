"""WebSocket parser by `websockets`' sans-I/O protocol (the one under uvicorn's websockets-sansio): reference and
fallback.

It accepts lengths that are not in their shortest form, which picows rejects.
"""

from websockets.frames import Frame
from websockets.protocol import Protocol, Side, State

from services.edge.gateway.framing import PROTOCOL_ERROR, SILENT_LOGGER, ParsedFrame, ProtocolViolation


class WebsocketsParser:
    """The library also answers pings and close frames and joins fragments; its output is dropped."""

    __slots__ = ("_protocol", "is_idle", "violation")

    def __init__(self, limit: int) -> None:
        self._protocol = Protocol(Side.SERVER, state=State.OPEN, max_size=limit, logger=SILENT_LOGGER)
        self.violation: ProtocolViolation | None = None
        self.is_idle = False

    @property
    def buffered(self) -> int:
        return len(self._protocol.reader.buffer)

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
