"""Deletes expired data and reloads the signing keys, once a minute."""

import asyncio
import time
from functools import partial

from services.auth.adapters.signing_keys import SigningKeys
from services.auth.service.ports import Transactions
from services.auth.store import revocations, verifications
from shared.clock import now_ms
from shared.contract.errors import RequestError
from shared.telemetry import log
from shared.tokens import LEEWAY_SECONDS

_log = log(__name__)
_INTERVAL_SECONDS = 60.0
_DAY_SECONDS = 86_400


async def run(database: Transactions, keys: SigningKeys, token_days: float) -> None:
    """Runs until it is cancelled."""
    while True:
        try:
            await purge_expired(database, token_days)
        except RequestError as error:
            _log.warning("housekeeping postponed", error=str(error))
        await asyncio.to_thread(keys.reload)
        await asyncio.sleep(_INTERVAL_SECONDS)


async def purge_expired(database: Transactions, token_days: float) -> None:
    oldest_token = int(time.time() - token_days * _DAY_SECONDS - 2 * LEEWAY_SECONDS)
    await database.write(partial(verifications.purge_expired, now=now_ms()))
    await database.write(partial(revocations.purge, before_seconds=oldest_token))
