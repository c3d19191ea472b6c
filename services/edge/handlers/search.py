"""Searches of clients. Nobody waits for a service that is not there."""

from services.edge.canonical.replies import MessagesFound
from services.edge.delivery.local_chats import LocalChats
from services.edge.dialects.encoded_message import to_display
from services.edge.presence.profiles import fetch_summaries
from shared.bus.client import Bus
from shared.bus.failures import NoResponders
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.search import SearchMessages


class ClientSearches:
    """Each request waits for its reply for `seconds`."""

    def __init__(self, bus: Bus, chats: LocalChats, enabled: bool, seconds: float) -> None:
        self._bus = bus
        self._chats = chats
        self._enabled = enabled
        self._seconds = seconds

    async def search(self, command: SearchMessages, actor: AccountId) -> MessagesFound:
        """Raises RequestError."""
        if not self._enabled:
            raise RequestError(ErrorCode.UNAVAILABLE, "search is switched off on this server")
        command.actor = actor
        try:
            page = await self._bus.request(
                SearchMessages.route, command, seconds=self._seconds, retry=True, wait_for_service=False
            )
        except NoResponders as error:
            raise RequestError(ErrorCode.UNAVAILABLE, "search is not available now, please try again later") from error
        summaries = await fetch_summaries(self._bus, {message.sender for message in page.around}, self._seconds)
        return MessagesFound(
            page, tuple(to_display(one, self._chats.pair(one.chat), summaries.get(one.sender)) for one in page.around)
        )
