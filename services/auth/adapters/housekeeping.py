"""Forgets what has no effect any more, and takes in new keys."""

import asyncio
import time
from functools import partial

from services.auth.adapters.signing_keys import SigningKeys
from services.auth.store import accounts, verifications
from shared.clock import now_ms
from shared.database import Database, DatabaseUnavailable
from shared.telemetry import log
from shared.tokens import LEEWAY_SECONDS

_log = log(__name__)
_EVERY_SECONDS = 60.0
_DAY_SECONDS = 86_400


async def run(database: Database, keyring: SigningKeys, token_days: float) -> None:
    """Until cancelled."""
    while True:
        try:
            await purge_expired(database, token_days)
        except DatabaseUnavailable as error:
            _log.warning("upkeep put off", error=str(error))
        await asyncio.to_thread(keyring.reload)
        await asyncio.sleep(_EVERY_SECONDS)


async def purge_expired(database: Database, token_days: float) -> None:
    oldest_token = int(time.time() - token_days * _DAY_SECONDS - 2 * LEEWAY_SECONDS)
    await database.write(partial(verifications.purge_expired, now=now_ms()))
    await database.write(partial(accounts.purge_revocations, before_seconds=oldest_token))
