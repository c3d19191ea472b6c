"""Handles missed messages that are too many to be pushed. The system account tells the recipient how many there are,
and then these messages count as delivered. The messages stay in the history, unread."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from services.edge.confirmations.read_state import ReadStateFlusher
from services.edge.dialects.encoded_message import other_member
from services.edge.presence.profiles import fetch_summaries
from services.edge.upstream.publisher import NONCE_BITS, MessagePublisher, post_one
from shared.bus.client import Bus
from shared.contract.admin import OpenAnnouncements
from shared.contract.body import pack_segments
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_DEVICE, SYSTEM_ACCOUNT, AccountId, ChatId, DeviceId, Nonce
from shared.contract.message import Draft
from shared.contract.model import MemberPair, Text
from shared.contract.session import GetChats
from shared.setting_types import Language
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)
_SECONDS = 5.0
_TEXTS: Mapping[Language, str] = {
    "zh": "「{chat}」里有 {messages} 条较早的消息没有推送，请在历史记录里查看。",
    "en": "{messages} older messages of {chat} were not pushed. They are in its history.",
}
_Skipped = tuple[AccountId, ChatId, int, DeviceId]


@dataclass
class LeftOutMessages:
    """No account is notified twice of the same messages. If an account could not be notified, the messages stay
    undelivered."""

    _bus: Bus
    _publisher: MessagePublisher
    _read_state: ReadStateFlusher
    _tasks: Tasks
    _clock: Callable[[], float]
    _language: Language
    _notifying: set[_Skipped] = field(default_factory=set, init=False)

    def skip(
        self,
        account: AccountId,
        chat: ChatId,
        upto: int,
        messages: int,
        pair: MemberPair | None,
        device: DeviceId = NO_DEVICE,
    ) -> None:
        """Do not push the missed messages of the account, or of its device, up to this index of the chat. `messages`:
        their number. `pair`: the members, if the chat is private."""
        skipped = account, chat, upto, device
        if not messages:
            self._read_state.mark_delivered(account, {chat: [(1, upto)]}, device)
        elif skipped not in self._notifying:
            self._notifying.add(skipped)
            self._read_state.wait_for(account, self._tasks.start(self._notify(skipped, messages, pair), "left out"))

    async def _notify(self, skipped: _Skipped, messages: int, pair: MemberPair | None) -> None:
        account, chat, upto, device = skipped
        try:
            name = await self._name(account, chat, pair)
            await self._post(skipped[:3], _TEXTS[self._language].format(chat=name, messages=messages))
            self._read_state.mark_delivered(account, {chat: [(1, upto)]}, device)
        except RequestError as error:
            _log.warning(
                "a user was not notified that older messages are not pushed",
                account=account,
                chat=chat,
                error=str(error),
            )
        finally:
            self._notifying.discard(skipped)

    async def _name(self, account: AccountId, chat: ChatId, pair: MemberPair | None) -> str:
        if pair is not None:
            other = other_member(pair, account)
            found = (await fetch_summaries(self._bus, [other], _SECONDS)).get(other)
            return found.nickname if found is not None else str(chat)
        reply = await self._bus.send(GetChats([chat], account), seconds=_SECONDS, retry=True)
        return next((one.name for one in reply.chats), "") or str(chat)

    async def _post(self, skipped: tuple[AccountId, ChatId, int], text: str) -> None:
        """Returns once the message is committed. The nonce is the same for all devices. Raises RequestError."""
        account, _, _ = skipped
        opened = await self._bus.send(OpenAnnouncements([account]), seconds=_SECONDS, retry=True)
        if account not in opened.chats:
            return  # the account is deleted
        digest = hashlib.blake2b(repr(skipped).encode(), digest_size=8).digest()
        nonce = Nonce(int.from_bytes(digest) & NONCE_BITS)
        deadline, body = self._publisher.deadline(self._clock()), pack_segments((Text(text),))
        draft = Draft(SYSTEM_ACCOUNT, opened.chats[account], nonce, deadline, body, opened.face)
        try:
            await post_one(self._publisher, draft, self._clock())
        except RequestError as error:
            # The system account has announced these messages before, when the chat had another name. The message
            # service has rejected the second announcement, because its nonce is the same and its text is not.
            if error.failure.code is not ErrorCode.CONFLICT:
                raise
