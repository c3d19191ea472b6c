"""Refreshes a login: a client exchanges a refresh token for a new token and a new refresh token. The exchanged refresh
token is then spent."""

import time
from dataclasses import dataclass
from secrets import token_hex

from services.auth import domain
from services.auth.domain import RefreshToken
from services.auth.service.ports import TokenIssuer
from services.auth.service.revocations import TokenRevocations
from services.auth.store import logins
from services.auth.store.logins import RotatedLogin, Rotation
from services.auth.store.requests import REVOKED, once
from shared.contract.auth import Refresh, Refreshed, Revocation
from shared.contract.errors import ErrorCode, RequestError
from shared.settings.accounts import AuthSettings
from shared.transactions import Transactions


@dataclass(frozen=True, kw_only=True)
class LoginRefresh:
    database: Transactions
    tokens: TokenIssuer
    revocations: TokenRevocations
    settings: AuthSettings

    async def refresh(self, request: Refresh) -> Refreshed:
        """Raises RequestError: `unauthenticated`, `invalid`, `unavailable`."""
        domain.check_origin(request.origin)
        spent = domain.parse_refresh_token(request.refresh)
        if spent is None:
            raise _rejected("the refresh token is not valid")
        rotation = self._rotation(spent, time.time(), request.origin.address)
        login = await self.database.write(once(logins.rotate, RotatedLogin, *REVOKED), rotation)
        if login is None:
            raise _rejected("the refresh token is not valid")
        if isinstance(login, Revocation):
            await self.revocations.publish(login)
            raise _rejected("the refresh token was used before: its login is ended")
        token = self.tokens.issue_brief(login.account, login.issued / 1000, login.revision, login.sid)
        valid = spent.successor(login.salt) if login.salt else spent
        return Refreshed(login.account, login.sid, token.text, token.expires, valid.text, login.expires)

    def _rotation(self, spent: RefreshToken, now: float, address: str) -> Rotation:
        return Rotation(
            spent=spent,
            salt=token_hex(32),
            now=int(now * 1000),
            expires=int(now + self.settings.refresh_seconds),
            grace_ms=int(self.settings.refresh_grace_seconds * 1000),
            address=address,
        )


def _rejected(text: str) -> RequestError:
    return RequestError(ErrorCode.UNAUTHENTICATED, text, "refresh")
