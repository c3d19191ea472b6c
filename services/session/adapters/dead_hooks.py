"""Outgoing hooks that have stopped, as dead letters: an operator who retries one lets the hook go on."""

import nats.errors

from shared.bus.client import Bus
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.events import OutgoingHooksDue
from shared.contract.subjects import OUTGOING_HOOKS_DUE


class DeadHooks:
    """Implements the port GiveUpHook."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def store(self, event: OutgoingHooksDue, error: str, attempts: int) -> None:
        try:
            await self._bus.store_dead_letter(OUTGOING_HOOKS_DUE, event, error, attempts)
        except nats.errors.Error as failed:
            raise RequestError(ErrorCode.UNAVAILABLE, "the dead letter is not stored") from failed
