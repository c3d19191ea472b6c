"""Starts, lists and ends the logins of accounts."""

import time
from dataclasses import dataclass
from functools import partial
from secrets import token_bytes, token_hex
from typing import Any, NamedTuple

import msgspec

from services.auth import domain
from services.auth.domain import Account, IssuedToken, RefreshToken
from services.auth.service.ports import TokenIssuer
from services.auth.service.revocations import TokenRevocations
from services.auth.store import accounts, logins
from services.auth.store.logins import NewLogin
from services.auth.store.requests import once
from shared.contract.admin import Act
from shared.contract.auth import Authenticated, EndLogin, ListLogins, Logins, LoginView, Origin, Revocation
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.push import MAX_LOGINS, EndedLogins, FindEndedLogins, mail_login
from shared.contract.routes import Ack
from shared.request_nonce import derived
from shared.settings.accounts import AuthSettings
from shared.transactions import Transactions

_SALT_BYTES = 32


class _Started(NamedTuple):
    """The stored result of a login, from which a repeated request gets the same reply. `issued`: when the token was
    issued (Unix seconds). `ends`: when the login ends (Unix seconds). `salt`: the salt of the refresh token.
    `displaced`: revocations of other logins."""

    sid: str
    issued: float
    revision: int
    ends: int
    salt: bytes
    displaced: list[Revocation]


@dataclass(frozen=True, kw_only=True)
class LoginSessions:
    """Every method may raise RequestError (`unavailable`)."""

    database: Transactions
    tokens: TokenIssuer
    revocations: TokenRevocations
    settings: AuthSettings

    async def start(
        self, account: Account, revision: int, began: float, origin: Origin, device: str, *, refreshable: bool = False
    ) -> Authenticated:
        """Starts a login whose secret was right at `began`, when the account's revision was `revision`. A later
        revocation of all logins voids the token. If such a revocation is committed already, the login fails. Raises
        RequestError: `unauthenticated`."""
        new = _Started(token_hex(16), began, revision, 0, token_bytes(_SALT_BYTES), [])
        ends = int(new.issued + self.settings.refresh_seconds)
        if not refreshable:
            ends = self._token(account, new, refreshable).expires
        view = LoginView(new.sid, int(new.issued * 1000), ends, origin.address, origin.client, device)
        login = NewLogin(view, revision, _refresh_token(new.salt) if refreshable else None)
        most = self.settings.sessions_per_account
        add = partial(logins.add, account=account.id, new=login, most=most, seconds=int(time.time()))

        def start(connection: Any) -> _Started | None:
            displaced = add(connection)
            return None if displaced is None else new._replace(ends=ends, displaced=displaced)

        started = await self.database.write(once(start, _Started, type(None), part="login"))
        if started is None:
            raise RequestError(ErrorCode.UNAUTHENTICATED, "all logins of this account have ended in the meantime")
        for ended in started.displaced:
            await self.revocations.publish(ended)
        return self._reply(account, started, refreshable)

    def _reply(self, account: Account, started: _Started, refreshable: bool) -> Authenticated:
        profile = msgspec.structs.asdict(account.profile)
        del profile["bot"]  # bots never log in with a secret
        token = self._token(account, started, refreshable)
        answer = Authenticated(
            **profile, sid=token.sid, token=token.text, expires=token.expires, revision=started.revision
        )
        if not refreshable:
            return answer
        refresh = _refresh_token(started.salt).text
        return msgspec.structs.replace(answer, refresh=refresh, refresh_expires=started.ends)

    def _token(self, account: Account, login: _Started, refreshable: bool) -> IssuedToken:
        issue = self.tokens.issue_brief if refreshable else self.tokens.issue
        return issue(account.id, login.issued, login.revision, login.sid)

    async def list(self, request: ListLogins) -> Logins:
        """Raises RequestError: `unauthenticated`."""
        domain.check_actor(request.actor)
        return Logins(await self.database.read(logins.list_valid, request.actor, int(time.time())))

    async def end(self, request: EndLogin, by: str = "user") -> Ack:
        """Raises RequestError: `unauthenticated`, `invalid`, `not_found` (also for a login of another account)."""
        domain.check_actor(request.actor)
        domain.check_opaque(request.sid, "sid")
        act = Act("end login", request.actor, by)
        if not await self.revocations.carry_out(logins.end, act, request.actor, request.sid, int(time.time())):
            raise RequestError(ErrorCode.NOT_FOUND, "there is no such login", "sid")
        return Ack()

    async def find_ended(self, request: FindEndedLogins) -> EndedLogins:
        """Raises RequestError: `limit`."""
        if len(request.logins) > MAX_LOGINS:
            raise RequestError(ErrorCode.LIMIT, f"at most {MAX_LOGINS} at once", "logins")
        sids = [sid for _, sid in request.logins]
        valid = await self.database.read(logins.valid_among, sids, int(time.time()))
        if mailed := [account for account, sid in request.logins if sid == mail_login(account)]:
            addresses = await self.database.read(accounts.verified_addresses, mailed)
            valid |= {(account, mail_login(account)) for account in addresses}
        return EndedLogins([sid for account, sid in request.logins if (account, sid) not in valid])


def _refresh_token(salt: bytes) -> RefreshToken:
    """Derives a refresh token. A repeated request with the same salt gets the same token."""
    return RefreshToken(derived(salt, b"family ")[:16].hex(), derived(salt, b"part ").hex())
