"""Searches for users by their names on IRC, and for open groups."""

from services.session import domain, list_limits
from services.session.store import directory
from shared.contract.directory import FindByMask, FindNicks, GroupList, ListGroups, UsersOfNicks
from shared.settings import Settings
from shared.transactions import Transactions

_NICKS, _WITH_GROUPS = 100, 10
_MASK_CHARACTERS = 200


class Directory:
    """Every method may raise RequestError."""

    def __init__(self, database: Transactions, settings: Settings) -> None:
        self._database = database
        self._server = settings.irc.name

    async def find_nicks(self, request: FindNicks) -> UsersOfNicks:
        domain.check_actor(request.actor)
        list_limits.check_batch_size(request.nicks, _WITH_GROUPS if request.groups else _NICKS, "nicks")
        return UsersOfNicks(await self._database.read(directory.find_nicks, request))

    async def find_by_mask(self, request: FindByMask) -> UsersOfNicks:
        domain.check_actor(request.actor)
        domain.check_characters("mask", request.mask, _MASK_CHARACTERS)
        return UsersOfNicks(await self._database.read(directory.find_by_mask, request, self._server))

    async def list_groups(self, request: ListGroups) -> GroupList:
        domain.check_actor(request.actor)
        groups, more = await self._database.read(directory.list_groups, request)
        return GroupList(list(groups), more)
