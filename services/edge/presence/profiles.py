"""What dialects show of senders beside their numbers, as session knows it.

Who speaks here is shown by the face that its resident has. A notice of a change may be lost, or come just before the
resident: so those who have come, who speak, or whose messages are compared after a loss are asked for again, soon.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence

from services.edge.presence.local_accounts import Residents
from services.edge.rpc.coalescer import Gathering
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.errors import Refused
from shared.contract.ids import AccountId
from shared.contract.model import Face, Profile
from shared.contract.session import GetFaces
from shared.telemetry import log

_log = log(__name__)
_AT_ONCE = 1_000
_PROFILES_AT_ONCE = 100
_AGE_SECONDS = 3.0
_ASK_SECONDS = 2.0


async def faces_of(bus: Bus, accounts: Collection[AccountId], seconds: float) -> dict[AccountId, Face]:
    """Raises Refused."""
    wanted, faces = sorted(accounts), dict[AccountId, Face]()
    for start in range(0, len(wanted), _AT_ONCE):
        request = GetFaces(wanted[start : start + _AT_ONCE])
        faces |= (await bus.ask(subjects.GET_FACES, request, seconds=seconds, retry=True)).faces
    return faces


def faces_together(bus: Bus) -> Gathering[AccountId, Face | None]:
    """For many who each want to know one."""

    async def ask(accounts: Sequence[AccountId]) -> Mapping[AccountId, Face | None]:
        return dict.fromkeys(accounts) | await faces_of(bus, accounts, _ASK_SECONDS)

    return Gathering("faces", ask, _AT_ONCE)


def profiles_together(bus: Bus, seconds: float) -> Gathering[AccountId, Profile | None]:
    """The same of whole profiles."""

    async def ask(accounts: Sequence[AccountId]) -> Mapping[AccountId, Profile | None]:
        request = GetFaces(list(accounts), profiles=True)
        found = (await bus.ask(subjects.GET_FACES, request, seconds=seconds, retry=True)).profiles
        return dict.fromkeys(accounts) | found

    return Gathering("profiles", ask, _PROFILES_AT_ONCE)


async def keep_faces(bus: Bus, residents: Residents) -> None:
    """Ask again for the faces that are due, every few seconds."""
    while True:
        await asyncio.sleep(_AGE_SECONDS)
        due, residents.faces_due = residents.faces_due, set()
        before = {account: resident.face for account in due if (resident := residents.get(account))}
        try:
            faces = await faces_of(bus, before, _ASK_SECONDS)
        except Refused as refusal:
            _log.warning("faces not asked for again", accounts=len(before), error=str(refusal))
            residents.faces_due.update(before)
            continue
        for account, face in faces.items():
            resident = residents.get(account)
            if resident is not None and resident.face is before[account]:  # else there is later news
                resident.face = face
