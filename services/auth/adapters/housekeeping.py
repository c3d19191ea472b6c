"""Once a minute: stores counted failures, deletes expired data and abandoned guests, and reloads the signing keys."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import nats.errors

from services.auth.adapters.signing_keys import SigningKeys
from services.auth.service.guests import ABANDONED_SECONDS
from services.auth.service.login_trail import LoginTrail
from services.auth.store import bot_tokens, logins, recoveries, requests, revocations, trail, verifications
from shared.clock import now_ms
from shared.contract.errors import RequestError
from shared.settings.accounts import AuthSettings
from shared.telemetry import log
from shared.tokens import LEEWAY_SECONDS
from shared.transactions import Transactions

EndAbandoned = Callable[[], Awaitable[None]]
"""Ends abandoned guests."""
CheckBus = Callable[[], Awaitable[None]]
"""Makes a round trip to NATS. Raises TimeoutError, nats.errors.Error."""

_log = log(__name__)
_INTERVAL_SECONDS = 60.0
_DAY_SECONDS = 86_400


async def run(
    database: Transactions,
    keys: SigningKeys,
    settings: AuthSettings,
    failures: LoginTrail,
    end_abandoned: EndAbandoned,
    check_bus: CheckBus,
) -> None:
    """Runs until it is cancelled. Guests are deleted only after the database and NATS have worked for some minutes, so
    that edges had time to report their connected guests."""
    reachable_since = time.monotonic()
    while True:
        try:
            await failures.flush()
            await purge_expired(database, settings)
            await check_bus()
            if time.monotonic() - reachable_since >= ABANDONED_SECONDS:
                await end_abandoned()
        except (RequestError, TimeoutError, nats.errors.Error) as error:
            reachable_since = time.monotonic()
            _log.warning("housekeeping postponed", error=repr(error))
        await asyncio.to_thread(keys.reload)
        await asyncio.sleep(_INTERVAL_SECONDS)


async def finish(failures: LoginTrail) -> None:
    """Store the last counts. Never raises."""
    try:
        await failures.flush()
    except RequestError as error:
        _log.warning("a batch of failed logins was not written to the audit trail", error=str(error))


async def purge_expired(database: Transactions, settings: AuthSettings) -> None:
    oldest_token = int(time.time() - settings.legacy_token_days * _DAY_SECONDS - 2 * LEEWAY_SECONDS)
    oldest_act = int((time.time() - settings.audit_days * _DAY_SECONDS) * 1000)
    await database.write(verifications.purge_expired, now_ms())
    await database.write(recoveries.purge_expired, now_ms())
    await database.write(logins.purge_expired, int(time.time()))
    await database.write(bot_tokens.purge_expired, int(time.time()))
    await database.write(revocations.purge, oldest_token)
    await database.write(trail.purge, oldest_act)
    await database.write(requests.purge)
