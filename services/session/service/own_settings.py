"""The settings that an account has for itself."""

from services.session import domain
from services.session.store import own_settings
from services.session.store.requests import once
from shared.contract.own_settings import GetOwnSettings, OwnSettings, SetOwnSettings
from shared.transactions import Transactions


class SettingsOfAccounts:
    def __init__(self, database: Transactions) -> None:
        self._database = database

    async def get(self, request: GetOwnSettings) -> OwnSettings:
        domain.check_actor(request.actor)
        return await self._database.read(own_settings.find, request.actor, brief=True)

    async def set(self, request: SetOwnSettings) -> OwnSettings:
        domain.check_actor(request.actor)
        return await self._database.write(once(own_settings.change, OwnSettings), request)
