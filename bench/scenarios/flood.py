"""Opens more connections than an edge accepts and counts how the excess ones end."""

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
    """Open a few connections more than `most` to an edge without connections. Counts those that stay open and those
    that the edge closes within `seconds`."""
    slots = asyncio.Semaphore(_AT_ONCE)
    opened: list[tuple[WSTransport, _Visitor]] = []

    async def open_connection() -> None:
        async with slots:
            with contextlib.suppress(OSError, WSError, TimeoutError):  # counted as lost
                visitor = _Visitor()  # ws_connect returns none that has been disconnected already
                transport, _ = await ws_connect(lambda: visitor, address + "/")
                opened.append((transport, visitor))

    await asyncio.gather(*(open_connection() for _ in range(most + _BEYOND)))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while sum(not visitor.there for _, visitor in opened) < _BEYOND:  # noqa: ASYNC110 (many may end it)
                await asyncio.sleep(_LOOK_SECONDS)
    let_in = sum(visitor.there for _, visitor in opened)
    rejected = sum(visitor.code == WSCloseCode.TRY_AGAIN_LATER for _, visitor in opened)
    for transport, _ in opened:
        transport.disconnect()
    return FloodResult(let_in, rejected, most + _BEYOND - let_in - rejected)
