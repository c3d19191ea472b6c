"""Once a minute: forgets the results of requests that nobody repeats any more."""

import asyncio

from services.session.store import requests
from shared.contract.errors import RequestError
from shared.telemetry import log
from shared.transactions import Transactions

_log = log(__name__)
_INTERVAL_SECONDS = 60.0


async def run(database: Transactions) -> None:
    """Runs until it is cancelled."""
    while True:
        try:
            await database.write(requests.purge)
        except RequestError as error:
            _log.warning("housekeeping postponed", error=str(error))
        await asyncio.sleep(_INTERVAL_SECONDS)
