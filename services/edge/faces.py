"""What dialects show of senders beside their numbers, as session knows it."""

from collections.abc import Collection

from shared.bus import Bus
from shared.contract import subjects
from shared.contract.ids import AccountId
from shared.contract.model import Face
from shared.contract.session import GetFaces

_AT_ONCE = 1_000


async def faces_of(bus: Bus, accounts: Collection[AccountId], seconds: float) -> dict[AccountId, Face]:
    """Raises Refused."""
    wanted, faces = sorted(accounts), dict[AccountId, Face]()
    for start in range(0, len(wanted), _AT_ONCE):
        request = GetFaces(wanted[start : start + _AT_ONCE])
        faces |= (await bus.ask(subjects.GET_FACES, request, seconds=seconds, retry=True)).faces
    return faces
