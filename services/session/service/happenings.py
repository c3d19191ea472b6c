"""Happenings are joins, departures and changes in groups, which the history of IRC shows."""

from services.session import domain, list_limits
from services.session.store import happenings, profiles
from shared.contract.happenings import HappeningList, ListHappenings
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.members import ModeChange
from shared.transactions import Transactions

_PAGE = 200
_PAGE_BYTES = 224 * 1024


class Happenings:
    def __init__(self, database: Transactions) -> None:
        self._database = database

    async def list_happenings(self, request: ListHappenings) -> HappeningList:
        domain.check_in_chat(request)
        count = max(1, min(request.count, _PAGE))
        found = await self._database.read(happenings.list_happenings, request, count + 1)
        wanted = found[::-1] if request.newest else found
        fitting = list_limits.take_fitting(wanted[:count], _PAGE_BYTES)
        page = sorted(fitting, key=lambda one: one.time)
        named = {account for one in page for account in (one.by, one.account, *map(_member, one.changes))}
        faces = await self._database.read(profiles.summaries_of, sorted(named - {NO_ACCOUNT}))
        return HappeningList(page, len(page) < len(found), faces)


def _member(change: ModeChange) -> AccountId:
    """The member whose role or voice is changed; NO_ACCOUNT if the change concerns no member."""
    return AccountId(int(change.text)) if change.mode in "qov" else NO_ACCOUNT
