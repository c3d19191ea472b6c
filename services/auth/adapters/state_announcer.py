"""Publishes the number of the last revocation, maintenance mode and the names of the keys to all edges each second: an
edge that knows another state requests it."""

import asyncio
from collections.abc import Awaitable, Callable

import nats.errors

from shared.bus.client import Bus, pack
from shared.contract.auth import ListRevocations, Revocations
from shared.contract.errors import RequestError
from shared.contract.subjects import AUTH_STATE
from shared.telemetry import log

_log = log(__name__)
_INTERVAL_SECONDS = 1.0
_AFTER_ALL = ListRevocations(2**63 - 1)
"""Lists no revocation."""


async def run(list_revocations: Callable[[ListRevocations], Awaitable[Revocations]], bus: Bus) -> None:
    """Runs until it is cancelled."""
    while True:
        try:
            await bus.publish(AUTH_STATE, pack(await list_revocations(_AFTER_ALL)))
        except (RequestError, nats.errors.Error) as error:
            _log.debug("state not announced", error=repr(error))
        await asyncio.sleep(_INTERVAL_SECONDS)
