"""Tokens that clients show: verified once and remembered, void as soon as a revocation is heard of."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterable

from services.edge.metrics import EdgeMetrics
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.auth import GetKeys, Revocation
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.tokens import BadToken, Claims, UnknownKey, Verifier

_REMEMBERED = 50_000
_KEYS_SECONDS = 5.0
"""Between two questions for keys: unknown ones cost auth little."""


class TokenVerifier:
    """`informed` is set once the revocations of the past are known: before, no token can be told good."""

    def __init__(self, bus: Bus, metrics: EdgeMetrics) -> None:
        self._bus = bus
        self._metrics = metrics
        self._verifier: Verifier | None = None
        self._keys_asked = -_KEYS_SECONDS
        self._good: OrderedDict[bytes, Claims] = OrderedDict()
        self._sessions: set[str] = set()
        self._accounts: dict[AccountId, int] = {}
        self.revocations_loaded = asyncio.Event()

    def revoked(self, revocations: Iterable[Revocation]) -> None:
        for revocation in revocations:
            if revocation.sid:
                self._sessions.add(revocation.sid)
            else:
                self._accounts[revocation.account] = max(revocation.time, self._accounts.get(revocation.account, 0))

    def set_keys(self, keys: Iterable[str]) -> None:
        """The names of the keys there are; when they are others than before, all tokens are verified anew."""
        if self._verifier is not None and self._verifier.keys != frozenset(keys):
            self._verifier = None
            self._good.clear()

    async def check(self, token: str, seconds: float) -> Claims:
        """Raises Refused."""
        try:
            return await self._check(token, seconds)
        except BadToken as error:
            self._metrics.bad_tokens.labels(error.reason).inc()
            raise

    async def _check(self, token: str, seconds: float) -> Claims:
        if not self.revocations_loaded.is_set():
            await self._until_informed(seconds)
        digest = hashlib.blake2b(token.encode(), digest_size=16).digest()
        claims = self._good.get(digest)
        if claims is None:
            claims = self._good[digest] = await self._verify(token, seconds)
            while len(self._good) > _REMEMBERED:
                self._good.popitem(last=False)
        if claims.sid in self._sessions or claims.issued < self._accounts.get(claims.account, 0):
            raise BadToken("revoked")
        if claims.expires < time.time():
            raise BadToken("expired")
        return claims

    async def _until_informed(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.revocations_loaded.wait()
        except TimeoutError as error:
            raise RequestError(ErrorCode.UNAVAILABLE, "tokens cannot be checked now, please try again") from error

    async def _verify(self, token: str, seconds: float) -> Claims:
        verifier = self._verifier or await self._ask_keys(seconds)
        try:
            return verifier.verify(token, time.time())
        except UnknownKey:
            if time.monotonic() - self._keys_asked < _KEYS_SECONDS:
                raise
        return (await self._ask_keys(seconds)).verify(token, time.time())

    async def _ask_keys(self, seconds: float) -> Verifier:
        self._keys_asked = time.monotonic()
        self._verifier = Verifier(await self._bus.request(subjects.GET_KEYS, GetKeys(), seconds=seconds, retry=True))
        return self._verifier
