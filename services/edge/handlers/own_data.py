"""What the services store of an account, for the account itself. Nothing of it is more than other requests show."""

import msgspec

from services.edge.canonical.commands import ExportMessages
from services.edge.canonical.replies import AccountExported, DisplayMessage, MessagesExported
from services.edge.client.connection import Connection
from services.edge.dialects.encoded_message import to_display
from services.edge.login.auth_requests import AuthRequests
from shared.bus.client import Bus
from shared.clock import now_ms
from shared.contract.admin import ListOwnReports
from shared.contract.contacts import ListBlocked, ListRequests
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.made import ExportLogins, ListMade
from shared.contract.message import GetHistory, History
from shared.contract.model import Message
from shared.contract.session import GetAccount

_PAGE = 200
"""Messages of a chat that one page considers."""


class OwnDataExporter:
    """Each request waits for its reply for `seconds`. All raise RequestError."""

    def __init__(self, bus: Bus, requests: AuthRequests, seconds: float) -> None:
        self._bus = bus
        self._requests = requests
        self._seconds = seconds

    async def account(self, connection: Connection) -> AccountExported:
        """Auth first, which limits and records it."""
        bus, actor, seconds = self._bus, connection.account, self._seconds
        record = await self._requests.send(connection, ExportLogins())
        profile = GetAccount(actor, lists=True, actor=actor, left=True)
        view = await bus.send(profile, seconds=seconds, retry=True)
        requests = await bus.send(ListRequests(actor), seconds=seconds, retry=True)
        blocked = await bus.send(ListBlocked(actor), seconds=seconds, retry=True)
        reports = await bus.send(ListOwnReports(actor), seconds=seconds, retry=True)
        made = await bus.send(ListMade(actor), seconds=seconds, retry=True)
        return AccountExported(now_ms(), record, view, requests, blocked, reports, made)

    async def messages(self, command: ExportMessages, actor: AccountId) -> MessagesExported:
        """Also of a chat that the account has left, or has left and joined again."""
        request = GetHistory(command.chat, command.after + 1, _PAGE, older=False, actor=actor, own=True)
        try:
            page = await self._history(request)
        except RequestError as error:
            if error.failure.code != ErrorCode.FORBIDDEN or not await self._has_left(command.chat, actor):
                raise
            page = await self._history(msgspec.structs.replace(request, left=True))
        sent = tuple(_to_display(message) for message in page.messages if message.sender == actor)
        after = max(command.after, page.upto or (page.messages[-1].index if page.messages else 0))
        return MessagesExported(sent, after, command.after < after < page.head)

    async def _history(self, request: GetHistory) -> History:
        return await self._bus.send(request, seconds=self._seconds, retry=True)

    async def _has_left(self, chat: ChatId, actor: AccountId) -> bool:
        request = GetAccount(actor, lists=True, actor=actor, left=True)
        view = await self._bus.send(request, seconds=self._seconds, retry=True)
        return chat in (view.left or ())


def _to_display(message: Message) -> DisplayMessage:
    """Without its sender, who is the account itself."""
    return msgspec.structs.replace(to_display(message, None, None), summary=None)
