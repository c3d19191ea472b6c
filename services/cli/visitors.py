"""The throw-away accounts that the first page has registered for its visitors. They end with the system."""

import asyncio

import click
from sqlalchemy.exc import SQLAlchemyError

from services.auth.store.naming import accounts_of_domain
from services.cli.admin.bus_client import connected_to
from shared.contract.auth import DeleteAccount
from shared.contract.errors import RequestError
from shared.contract.subjects import DELETE_USER
from shared.settings import NatsSettings

_DOMAIN = "first-page.invalid"
"""Of the visitors' addresses (web/setup.js)."""
_SECONDS = 5.0
"""The end of the system waits for so long. Accounts that are left end with the next one."""


async def erase(url: str, broker: NatsSettings) -> str:
    """Deletes them, by the operator's user of the broker. `url`: auth's database. Returns a sentence about it; empty
    if there are none."""
    done = 0
    try:
        async with asyncio.timeout(_SECONDS):
            accounts = await asyncio.to_thread(accounts_of_domain, url, _DOMAIN)
            if not accounts:
                return ""
            async with connected_to(broker) as client:
                for account in accounts:
                    await client.request(DELETE_USER, DeleteAccount(account))
                    done += 1
    except (TimeoutError, SQLAlchemyError, RequestError, click.ClickException) as error:
        return f"{done} accounts of the first page are erased, the others at the next end: {error or 'out of time'}"
    return f"{done} accounts of the first page are erased"
