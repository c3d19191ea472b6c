"""Answers the searches of clients. If no search service is available, the client gets an error at once."""

from services.edge.canonical.replies import MessagesFound
from services.edge.delivery.local_chats import LocalChats
from services.edge.dialects.encoded_message import to_display
from services.edge.handlers.table import Handlers, for_actor
from services.edge.presence.profiles import fetch_summaries
from shared.bus.client import Bus
from shared.bus.failures import NoResponders
from shared.contract import subjects as on
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import AccountId
from shared.contract.search import SearchMessages, SearchPage


class ClientSearches:
    def __init__(self, bus: Bus, chats: LocalChats, enabled: bool) -> None:
        self._bus = bus
        self._chats = chats
        self._enabled = enabled

    def handlers(self) -> Handlers:
        return {SearchMessages: for_actor(self.search)}

    async def search(self, command: SearchMessages, actor: AccountId) -> MessagesFound:
        """Raises RequestError."""
        if not self._enabled:
            raise RequestError(
                ErrorCode.UNAVAILABLE, "search is switched off on this server", reason=Reason.SWITCHED_OFF
            )
        command.actor = actor
        try:
            page = await self._find(command)
        except NoResponders as error:
            raise RequestError(ErrorCode.UNAVAILABLE, "search is not available now, please try again later") from error
        summaries = await fetch_summaries(self._bus, {message.sender for message in page.around})
        return MessagesFound(
            page, tuple(to_display(one, self._chats.pair(one.chat), summaries.get(one.sender)) for one in page.around)
        )

    async def _find(self, command: SearchMessages) -> SearchPage:
        """Search an index with all messages. If no service has a complete index, search one that is still being built.
        Raises RequestError."""
        try:
            return await self._bus.send(command, retry=True, wait_for_service=False)
        except NoResponders:
            return await self._bus.request(on.SEARCH_INCOMPLETE, command, retry=True, wait_for_service=False)
