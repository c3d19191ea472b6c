"""Fills a history: one account sends the messages, many of them in flight."""

import asyncio
import time

from bench.errors import BenchError
from bench.load import message_tag
from bench.load.dialects import BY_NAME
from bench.population.accounts import Step
from clients.aio import connect
from clients.codec.base import ClientAccount
from clients.codec.events import ServerReply

_IN_FLIGHT = 200
_SECONDS = 30.0
_SIZE = 150


class _Slots:
    """A listener that frees a slot with each reply."""

    def __init__(self) -> None:
        self.free = asyncio.Semaphore(_IN_FLIGHT)
        self.error = ""

    def received(self, event: object, now: int) -> None:
        return

    def replied(self, reply: ServerReply, now: int) -> None:
        self.error = self.error or reply.error
        self.free.release()

    def ended(self) -> None:
        self.error = self.error or "the server ended the connection"


async def fill(edge: str, account: ClientAccount, dialect: str, chat: int, count: int, step: Step) -> None:
    """Send `count` messages and wait for all acknowledgements. Raises BenchError, ClientError."""
    slots, codec = _Slots(), BY_NAME[dialect]
    connection = await connect(edge, codec, slots)
    try:
        await connection.request(codec.login(account))
        write = codec.message_writer(account, chat)
        padding = b"x" * (_SIZE - message_tag.SIZE)
        for number in range(1, count + 1):
            await _acquire(slots)
            connection.send(write(message_tag.write(0, 1, number, time.monotonic_ns()) + padding))
            step("messages", number, count)
        for _ in range(_IN_FLIGHT):
            await _acquire(slots)
    finally:
        await connection.close()


async def _acquire(slots: _Slots) -> None:
    try:
        async with asyncio.timeout(_SECONDS):
            await slots.free.acquire()
    except TimeoutError:
        raise BenchError(slots.error or f"no reply to a message within {_SECONDS:g} s") from None
    if slots.error:
        raise BenchError(f"message rejected: {slots.error}")
