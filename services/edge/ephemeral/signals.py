"""Signals to and from the other edges."""

from collections.abc import Awaitable, Callable

import msgspec

from shared.bus.client import Bus, pack
from shared.contract import subjects
from shared.contract.ephemeral import Signal

Publish = Callable[[Signal], Awaitable[None]]
"""To every edge, also this one. Raises nats.errors.Error."""

_decode: Callable[[bytes], Signal] = msgspec.msgpack.Decoder(Signal).decode


def publisher(bus: Bus) -> Publish:
    async def publish(signal: Signal) -> None:
        await bus.publish(subjects.SIGNAL, pack(signal))

    return publish


def subscribe(bus: Bus, receive: Callable[[Signal], None]) -> None:
    """To be called before the bus starts."""
    bus.subscribe(subjects.SIGNAL, lambda data: receive(_decode(data)))
