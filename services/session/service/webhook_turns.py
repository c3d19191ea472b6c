"""Turns of outgoing webhooks. Each turn occupies a place. A turn begins in a quick place. After a quarter of a second
it moves to a slow place, and the next turn of this webhook begins in a slow place. So slow receivers wait only for each
other, and other receivers do not wait for them."""

import asyncio
from collections.abc import Coroutine
from typing import Any

QUICK_SECONDS = 0.25
_SLOW_FACTOR = 8
"""The number of slow places for each quick one. A slow turn only waits, and costs a connection."""


def places(concurrent: int) -> int:
    """The number of quick and slow places together."""
    return concurrent * (1 + _SLOW_FACTOR)


class TurnEnded(Exception):
    """The turn was slow, and no slow place was free."""


class WebhookTurns:
    def __init__(self, concurrent: int) -> None:
        self._places = {False: concurrent, True: concurrent * _SLOW_FACTOR}

    def free(self, *, slow: bool) -> int:
        return self._places[slow]

    def begin(self, *, slow: bool) -> "WebhookTurn":
        self._places[slow] -= 1
        return WebhookTurn(self, slow=slow)

    def move(self) -> bool:
        """Move from a quick place to a slow one. Returns False if none is free."""
        if self._places[True] <= 0:
            return False
        self._places[True] -= 1
        self._places[False] += 1
        return True

    def end(self, *, slow: bool) -> None:
        self._places[slow] += 1


class WebhookTurn:
    """One turn of a webhook. `was_slow`: the turn has lasted longer than a quick turn may."""

    def __init__(self, turns: WebhookTurns, *, slow: bool) -> None:
        self._turns = turns
        self._has_slow_place = slow
        self._must_end = False
        self._limit: asyncio.Timeout | None = None
        self.was_slow = False
        self._timer = asyncio.get_running_loop().call_later(QUICK_SECONDS, self._become_slow)

    async def wait_for(self, receiver: Coroutine[Any, Any, None]) -> None:
        """Wait for the request to the receiver. Raises TurnEnded, and the exceptions of `receiver`."""
        if self._must_end:
            receiver.close()
            raise TurnEnded
        try:
            async with asyncio.timeout(None) as self._limit:
                await receiver
        except TimeoutError as error:
            raise TurnEnded from error
        finally:
            self._limit = None

    def end(self) -> None:
        self._timer.cancel()
        self._turns.end(slow=self._has_slow_place)

    def _become_slow(self) -> None:
        self.was_slow = True
        if self._has_slow_place:
            return
        self._has_slow_place = self._turns.move()
        self._must_end = not self._has_slow_place
        if self._must_end and self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())
