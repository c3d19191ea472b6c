"""Posts the messages of incoming webhooks: each as an account of its own, which the rights of its maker admit."""

import hashlib
from collections.abc import Callable

from services.edge.client.posts import nonce_of
from services.edge.presence.profiles import fetch_summaries
from services.edge.rate_limit import TokenBuckets
from services.edge.upstream.publisher import MessagePublisher, post_one
from shared.bus.client import Bus
from shared.contract.body import pack_segments
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.hooks import FindHook, FoundHook
from shared.contract.ids import NO_ACCOUNT
from shared.contract.message import Draft
from shared.contract.model import Text
from shared.settings import Settings

_NO_CLIENT_S_NAME = "\0hook "
"""Begins the names of these messages: no frame has this character."""


class HookMessages:
    """`clock` is that of the connections."""

    def __init__(self, bus: Bus, publisher: MessagePublisher, clock: Callable[[], float], settings: Settings) -> None:
        self._bus = bus
        self._publisher = publisher
        self._clock = clock
        self._seconds = settings.edge.request_seconds
        limits = settings.limits
        self._text_bytes = limits.message_text_bytes
        buckets = TokenBuckets(limits.hook_messages_per_second, limits.hook_messages_burst)
        self._buckets = buckets if limits.rates else None

    async def post(self, secret: str, text: str, key: str) -> None:
        """Returns once the message is committed. `key`: the same one posts nothing again; "" is none. Raises
        RequestError."""
        hook = await self._find(secret)
        if hook.account == NO_ACCOUNT:
            raise RequestError(ErrorCode.UNAVAILABLE, "session is of the version before")
        if len(text.encode()) > self._text_bytes:
            raise RequestError(ErrorCode.TOO_LARGE, f"a message has at most {self._text_bytes} bytes of text", "text")
        if self._buckets is not None and not self._buckets.take(hook.hook, self._clock()):
            raise RequestError(ErrorCode.RATE_LIMITED, "too many messages of this hook, slow down")
        draft = await self._draft(hook, text, key)
        await post_one(self._publisher, draft, self._clock())

    async def _find(self, secret: str) -> FoundHook:
        request = FindHook(hashlib.sha256(secret.encode()).hexdigest())
        return await self._bus.send(request, seconds=self._seconds, retry=True)

    async def _draft(self, hook: FoundHook, text: str, key: str) -> Draft:
        summaries = await fetch_summaries(self._bus, [hook.account], self._seconds)
        body = pack_segments((Text(text),))
        name = f"{_NO_CLIENT_S_NAME}{hook.hook} {key}"
        nonce = nonce_of(hook.account, hook.chat, name) if key else self._publisher.new_nonce()
        sender, face = hook.account, summaries.get(hook.account)
        return Draft(sender, hook.chat, nonce, self._publisher.deadline(self._clock()), body, face, by=hook.by)
