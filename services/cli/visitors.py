"""Deletes the accounts that the first page has registered for its visitors. They are deleted when the system ends."""

import asyncio

import click
from sqlalchemy.exc import SQLAlchemyError

from services.auth.store.naming import accounts_of_domain
from services.cli.admin.bus_client import connected_to
from shared.contract.auth import DeleteAccount
from shared.contract.errors import RequestError
from shared.contract.subjects import DELETE_USER
from shared.settings.servers import NatsSettings

_DOMAIN = "first-page.invalid"
"""The domain of the visitors' e-mail addresses (web/setup.js)."""
_SECONDS = 5.0
"""The longest time, in seconds, that the shutdown waits for this. The next shutdown deletes the accounts that are
left."""


async def erase(url: str, broker: NatsSettings) -> str:
    """Deletes the visitors' accounts as the operator's NATS user. `url`: auth's database. Returns a sentence about the
    erased accounts, or an empty text if there were none."""
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
