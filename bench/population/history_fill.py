"""A history, said message by message by one person, with many of them under way."""

import asyncio
import time

from bench.load import message_tag
from bench.load.connection import Trouble, dial
from bench.population.accounts import Step
from bench.tongues import SERVICE
from bench.tongues.base import Asked, Person, Reply, Said

_UNDER_WAY = 200
_SECONDS = 30.0
_SIZE = 150


class _Counting:
    """Ears: a slot is free again with each answer."""

    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(_UNDER_WAY)
        self.trouble = ""

    def said(self, said: Said, now: int) -> None:
        return

    def answered(self, reply: Reply, now: int) -> None:
        self.trouble = self.trouble or reply.refusal
        self.slots.release()

    def ended(self) -> None:
        self.trouble = self.trouble or "the server ended the connection"


async def fill(edge: str, person: Person, chat: int, count: int, step: Step) -> None:
    """So many messages, all of them acknowledged. Raises Trouble."""
    ears = _Counting()
    line = await dial(edge, SERVICE, ears)
    try:
        await line.ask(SERVICE.login(person), Asked.LOGIN)
        head, tail = SERVICE.around(person, chat)
        padding = b"x" * (_SIZE - message_tag.SIZE)
        for number in range(1, count + 1):
            await _free(ears)
            line.send(head + message_tag.write(0, 1, number, time.monotonic_ns()) + padding + tail)
            step("messages", number, count)
        for _ in range(_UNDER_WAY):
            await _free(ears)
    finally:
        await line.close()


async def _free(ears: _Counting) -> None:
    try:
        async with asyncio.timeout(_SECONDS):
            await ears.slots.acquire()
    except TimeoutError:
        raise Trouble(ears.trouble or f"no answer to a message within {_SECONDS:g} s") from None
    if ears.trouble:
        raise Trouble(f"message refused: {ears.trouble}")
