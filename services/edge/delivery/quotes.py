"""Makes the quotes that show replies in dialects without replies, such as `> Ann: see you`.

Each quote is made from the present state of the quoted message, and is not stored. So no quote shows a text that was
recalled or has expired.
"""

import asyncio
from collections.abc import Iterable, Mapping

from services.edge.dialects.encoded_message import make_quote
from services.edge.presence.profiles import fetch_summaries
from shared.bus.client import Bus
from shared.contract.body import reply_target
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import GetHistory, GetQuoted
from shared.contract.model import Message, Quote, requested_message
from shared.setting_types import Language
from shared.telemetry import log

_log = log(__name__)
_SECONDS = 2.0
_PER_REQUEST = 200

Quotes = Mapping[tuple[ChatId, int], Quote]
"""The quotes by chat and index of the reply."""


class QuoteReader:
    """`language`: the language of `[图片]` and `[文件]`."""

    def __init__(self, bus: Bus, language: Language) -> None:
        self._bus = bus
        self._language = language

    async def of(self, messages: Iterable[Message]) -> Quotes:
        """The quotes of the replies among these messages, as far as the services return them. A message is shown even
        if its quote is missing."""
        replies = {(one.chat, one.index): target for one in messages if (target := reply_target(one.body))}
        if not replies:
            return {}
        try:
            quoted = await self._lines({(chat, target) for (chat, _), target in replies.items()})
        except RequestError as error:
            _log.warning("quoted messages not fetched", replies=len(replies), error=str(error))
            return {}
        found = {place: quoted.get((place[0], target)) for place, target in replies.items()}
        return {place: quote for place, quote in found.items() if quote is not None}

    async def find(self, chat: ChatId, index: int, actor: AccountId) -> Quote | None:
        """The quote of a message that the actor may see. None if the actor is no member. Raises RequestError."""
        request = GetHistory(chat, index, 1, actor=actor)
        try:
            page = await self._bus.send(request, retry=True)
        except RequestError as error:
            if error.failure.code is ErrorCode.FORBIDDEN:
                # No quote is needed. The message itself will be rejected, unless an earlier attempt has posted it.
                return None
            raise
        message = requested_message(page.messages, index, "reply_to")
        return (await self._quotes([message]))[chat, index]

    async def _lines(self, places: set[tuple[ChatId, int]]) -> Quotes:
        by_chat: dict[ChatId, list[int]] = {}
        for chat, index in sorted(places):
            by_chat.setdefault(chat, []).append(index)
        requests = [
            GetQuoted(chat, indexes[start : start + _PER_REQUEST])
            for chat, indexes in by_chat.items()
            for start in range(0, len(indexes), _PER_REQUEST)
        ]
        replies = await asyncio.gather(*map(self._request, requests))
        return await self._quotes([message for one in replies for message in one])

    async def _request(self, request: GetQuoted) -> list[Message]:
        return (await self._bus.send(request, seconds=_SECONDS, wait_for_service=False)).messages

    async def _quotes(self, messages: list[Message]) -> Quotes:
        summaries = await fetch_summaries(self._bus, {one.sender for one in messages}, _SECONDS)
        names = {account: summary.nickname for account, summary in summaries.items()}
        return {
            (one.chat, one.index): make_quote(one, names.get(one.sender, str(one.sender)), self._language)
            for one in messages
        }
