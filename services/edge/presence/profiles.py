"""Requests profile summaries (nickname and uuid) of senders from the session service.

Messages of a local account get the summary that is stored with the local account. The event about a changed profile may
be lost, or may arrive just before the account logs in. So a stored summary is refreshed soon after a login, a message
or a resync.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence

from services.edge.presence.local_accounts import LocalAccounts
from services.edge.rpc.coalescer import RequestCoalescer
from shared.bus.client import Bus
from shared.clock import until_next
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId
from shared.contract.model import Profile, ProfileSummary
from shared.contract.session import GetProfileSummaries
from shared.telemetry import log

_log = log(__name__)
_SUMMARIES_PER_REQUEST = 1_000
_PROFILES_PER_REQUEST = 100
_REFRESH_SECONDS = 3.0
_REQUEST_SECONDS = 2.0


async def fetch_summaries(
    bus: Bus, accounts: Collection[AccountId], seconds: float | None = None
) -> dict[AccountId, ProfileSummary]:
    """Request the summaries of these accounts. Raises RequestError."""
    wanted, summaries = sorted(accounts), dict[AccountId, ProfileSummary]()
    for start in range(0, len(wanted), _SUMMARIES_PER_REQUEST):
        request = GetProfileSummaries(wanted[start : start + _SUMMARIES_PER_REQUEST])
        summaries |= (await bus.send(request, seconds=seconds, retry=True)).faces
    return summaries


def coalesced_summaries(bus: Bus) -> RequestCoalescer[AccountId, ProfileSummary | None]:
    """Make an object that combines requests for single summaries into batches."""

    async def fetch(accounts: Sequence[AccountId]) -> Mapping[AccountId, ProfileSummary | None]:
        return dict.fromkeys(accounts) | await fetch_summaries(bus, accounts, _REQUEST_SECONDS)

    return RequestCoalescer("profile summaries", fetch, _SUMMARIES_PER_REQUEST)


def coalesced_profiles(bus: Bus, seconds: float) -> RequestCoalescer[AccountId, Profile | None]:
    """Make an object that combines requests for single whole profiles into batches."""

    async def fetch(accounts: Sequence[AccountId]) -> Mapping[AccountId, Profile | None]:
        request = GetProfileSummaries(list(accounts), profiles=True)
        found = (await bus.send(request, seconds=seconds, retry=True)).profiles
        return dict.fromkeys(accounts) | found

    return RequestCoalescer("profiles", fetch, _PROFILES_PER_REQUEST)


async def refresh_loop(bus: Bus, accounts: LocalAccounts) -> None:
    """Refresh the summaries that may be outdated, every few seconds."""
    while True:
        await asyncio.sleep(until_next(_REFRESH_SECONDS))
        stale, accounts.stale_profiles = accounts.stale_profiles, set()
        before = {account: local.summary for account in stale if (local := accounts.get(account))}
        try:
            summaries = await fetch_summaries(bus, before, _REQUEST_SECONDS)
        except RequestError as error:
            _log.warning("profile summaries not refreshed", accounts=len(before), error=str(error))
            accounts.stale_profiles.update(before)
            continue
        for account, summary in summaries.items():
            local = accounts.get(account)
            # otherwise, an event has already set a newer summary
            if local is not None and local.summary is before[account]:
                local.summary = summary
