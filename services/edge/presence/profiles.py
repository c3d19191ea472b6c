"""What dialects show of senders beside their numbers, as session knows it.

Who speaks here is shown by the face that its resident has. A notice of a change may be lost, or come just before the
resident: so those who have come, who speak, or whose messages are compared after a loss are asked for again, soon.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence

from services.edge.presence.local_accounts import LocalAccounts
from services.edge.rpc.coalescer import RequestCoalescer
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId
from shared.contract.model import Profile, ProfileSummary
from shared.contract.session import GetProfileSummaries
from shared.telemetry import log

_log = log(__name__)
_AT_ONCE = 1_000
_PROFILES_AT_ONCE = 100
_AGE_SECONDS = 3.0
_ASK_SECONDS = 2.0


async def fetch_summaries(bus: Bus, accounts: Collection[AccountId], seconds: float) -> dict[AccountId, ProfileSummary]:
    """Raises Refused."""
    wanted, faces = sorted(accounts), dict[AccountId, ProfileSummary]()
    for start in range(0, len(wanted), _AT_ONCE):
        request = GetProfileSummaries(wanted[start : start + _AT_ONCE])
        faces |= (await bus.request(subjects.GET_PROFILE_SUMMARIES, request, seconds=seconds, retry=True)).faces
    return faces


def coalesced_summaries(bus: Bus) -> RequestCoalescer[AccountId, ProfileSummary | None]:
    """For many who each want to know one."""

    async def ask(accounts: Sequence[AccountId]) -> Mapping[AccountId, ProfileSummary | None]:
        return dict.fromkeys(accounts) | await fetch_summaries(bus, accounts, _ASK_SECONDS)

    return RequestCoalescer("faces", ask, _AT_ONCE)


def coalesced_profiles(bus: Bus, seconds: float) -> RequestCoalescer[AccountId, Profile | None]:
    """The same of whole profiles."""

    async def ask(accounts: Sequence[AccountId]) -> Mapping[AccountId, Profile | None]:
        request = GetProfileSummaries(list(accounts), profiles=True)
        found = (await bus.request(subjects.GET_PROFILE_SUMMARIES, request, seconds=seconds, retry=True)).profiles
        return dict.fromkeys(accounts) | found

    return RequestCoalescer("profiles", ask, _PROFILES_AT_ONCE)


async def refresh_loop(bus: Bus, residents: LocalAccounts) -> None:
    """Ask again for the faces that are due, every few seconds."""
    while True:
        await asyncio.sleep(_AGE_SECONDS)
        due, residents.stale_profiles = residents.stale_profiles, set()
        before = {account: resident.summary for account in due if (resident := residents.get(account))}
        try:
            faces = await fetch_summaries(bus, before, _ASK_SECONDS)
        except RequestError as refusal:
            _log.warning("faces not asked for again", accounts=len(before), error=str(refusal))
            residents.stale_profiles.update(before)
            continue
        for account, face in faces.items():
            resident = residents.get(account)
            if resident is not None and resident.summary is before[account]:  # else there is later news
                resident.summary = face
