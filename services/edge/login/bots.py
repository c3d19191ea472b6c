"""The bots of the account of a connection."""

import time

from services.edge.client.connection import Connection
from services.edge.login.account_lookup import AccountLookup
from services.edge.login.auth_requests import AuthRequests
from shared.contract.bots import (
    BotList,
    CreateBot,
    CreateBotToken,
    CreatedBot,
    CreatedBotToken,
    DeleteBot,
    DeleteBotToken,
    ListBots,
)
from shared.contract.routes import Ack

BotCommand = CreateBot | ListBots | DeleteBot | CreateBotToken | DeleteBotToken


class OwnBots:
    """All raise RequestError."""

    def __init__(self, requests: AuthRequests, lookup: AccountLookup) -> None:
        self._requests = requests
        self._lookup = lookup

    async def handle(self, connection: Connection, command: BotCommand) -> CreatedBot | BotList | CreatedBotToken | Ack:
        match command:
            case CreateBot():
                began = time.monotonic()
                created = await self._requests.create_bot(connection, command)
                await self._lookup.ensure_bot_profile(created, began)
                return created
            case ListBots():
                return await self._requests.list_bots(connection)
            case DeleteBot():
                return await self._requests.delete_bot(connection, command)
            case CreateBotToken():
                return await self._requests.create_bot_token(connection, command)
            case DeleteBotToken():
                return await self._requests.delete_bot_token(connection, command)
