"""More connections than an edge takes: what becomes of those beyond."""

import asyncio
import contextlib

from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench.measurement.slo import FloodResult

_AT_ONCE = 64
_BEYOND = 16
_LOOK_SECONDS = 0.02


class _Visitor(WSListener):
    code: WSCloseCode | None = None
    there = True

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            self.code = frame.get_close_code()
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.there = False


async def flood(address: str, most: int, seconds: float = 10.0) -> FloodResult:
    """Open a few connections more than `most` to an edge that has none, and look who stays: those who do not
    must go within so many seconds."""
    slots = asyncio.Semaphore(_AT_ONCE)
    came: list[tuple[WSTransport, _Visitor]] = []

    async def come() -> None:
        async with slots:
            with contextlib.suppress(OSError, WSError, TimeoutError):  # counted as lost
                transport, visitor = await ws_connect(_Visitor, address + "/")
                assert isinstance(visitor, _Visitor)
                came.append((transport, visitor))

    await asyncio.gather(*(come() for _ in range(most + _BEYOND)))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while sum(not visitor.there for _, visitor in came) < _BEYOND:  # noqa: ASYNC110 (many may end it)
                await asyncio.sleep(_LOOK_SECONDS)
    let_in = sum(visitor.there for _, visitor in came)
    refused = sum(visitor.code == WSCloseCode.TRY_AGAIN_LATER for _, visitor in came)
    for transport, _ in came:
        transport.disconnect()
    return FloodResult(let_in, refused, most + _BEYOND - let_in - refused)
