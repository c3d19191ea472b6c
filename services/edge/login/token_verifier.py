"""Verifies each token of a client once, and then answers from a cache. A token becomes invalid as soon as its
revocation is received."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterable

from services.edge.login.auth_state import AuthState
from services.edge.metrics import EdgeMetrics
from shared.bus.client import Bus
from shared.contract.auth import GetKeys, Revocation
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.tasks import time_left
from shared.tokens import BadToken, Claims, UnknownKey, Verifier

_CACHED_TOKENS = 50_000
_KEYS_SECONDS = 5.0
"""The time between two requests for keys. So tokens with unknown keys cause few requests to the auth service."""


class _RevokedTokens:
    """Takes 120 bytes for a login that has ended, and 200 bytes for an account whose tokens were all revoked."""

    def __init__(self) -> None:
        self._sessions: set[str] = set()
        self._accounts: dict[AccountId, Revocation] = {}
        """For each account whose tokens were all revoked, the highest number and time of such a revocation."""

    def add(self, revocation: Revocation) -> None:
        if revocation.sid:
            self._sessions.add(revocation.sid)
        else:
            last = self._accounts.get(revocation.account, revocation)
            number, seconds = max(last.number, revocation.number), max(last.time, revocation.time)
            self._accounts[revocation.account] = Revocation(number, revocation.account, "", seconds)

    def contains(self, claims: Claims) -> bool:
        last = self._accounts.get(claims.account)
        return claims.sid in self._sessions or (last is not None and claims.is_voided_by(last))


class TokenVerifier:
    """Verifies tokens. `revocations_loaded` is set once all earlier revocations are known. Until then, no token is
    accepted."""

    def __init__(self, bus: Bus, metrics: EdgeMetrics, state: AuthState) -> None:
        self._bus = bus
        self._metrics = metrics
        self._state = state
        self._verifier: Verifier | None = None
        self._keys_requested = -_KEYS_SECONDS
        self._verified: OrderedDict[bytes, Claims] = OrderedDict()
        self._revoked = self._listed = _RevokedTokens()
        """`_listed` has the revocations since the last call of `begin_list`."""
        self.revocations_loaded = asyncio.Event()

    def revoked(self, revocations: Iterable[Revocation]) -> None:
        for revocation in revocations:
            self._revoked.add(revocation)
            self._listed.add(revocation)

    def begin_list(self) -> None:
        """All revocations that the auth service stores follow. Until `end_list`, earlier ones count, too."""
        self._listed = _RevokedTokens()

    def end_list(self) -> None:
        self._revoked = self._listed

    def set_keys(self, keys: Iterable[str]) -> None:
        """Set the ids of the current keys. If they have changed, all tokens must be verified again."""
        if self._verifier is not None and self._verifier.keys != frozenset(keys):
            self._verifier = None
            self._verified.clear()

    async def check(self, token: str) -> Claims:
        """Verify a user's token, and return its claims. The token permits everything. Raises RequestError."""
        return await self._counted(token, bots=False)

    async def check_with_scopes(self, token: str) -> Claims:
        """Verify a user's or a bot's token, and return its claims. The caller must permit nothing beyond Claims.scopes.
        Raises RequestError."""
        return await self._counted(token, bots=True)

    async def _counted(self, token: str, *, bots: bool) -> Claims:
        try:
            claims = await self._check(token)
            if claims.scopes is not None and not bots:
                raise BadToken("bot")
        except BadToken as error:
            self._metrics.bad_tokens.labels(error.reason).inc()
            raise
        return claims

    async def _check(self, token: str) -> Claims:
        if not self.revocations_loaded.is_set():
            await self._await_revocations()
        digest = hashlib.blake2b(token.encode(), digest_size=16).digest()
        claims = self._verified.get(digest)
        if claims is None:
            claims = self._verified[digest] = await self._verify(token)
            while len(self._verified) > _CACHED_TOKENS:
                self._verified.popitem(last=False)
        if self._revoked.contains(claims):
            raise BadToken("revoked")
        if claims.expires < self._state.clock.earliest():
            raise BadToken("expired")
        return claims

    async def _await_revocations(self) -> None:
        self._state.require_service()
        try:
            async with asyncio.timeout(time_left()):
                await self.revocations_loaded.wait()
        except TimeoutError as error:
            raise RequestError(ErrorCode.UNAVAILABLE, "tokens cannot be checked now, please try again") from error

    async def _verify(self, token: str) -> Claims:
        verifier = self._verifier or await self._request_keys()
        try:
            return verifier.verify(token, self._state.clock.earliest(), self._state.clock.latest())
        except UnknownKey:
            if time.monotonic() - self._keys_requested < _KEYS_SECONDS:
                raise
        verifier = await self._request_keys()
        return verifier.verify(token, self._state.clock.earliest(), self._state.clock.latest())

    async def _request_keys(self) -> Verifier:
        self._state.require_service()
        self._keys_requested = time.monotonic()
        self._verifier = Verifier(await self._bus.send(GetKeys(), retry=True))
        return self._verifier
