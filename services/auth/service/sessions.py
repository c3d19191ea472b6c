"""The logins of an account: started, listed, ended."""

import time
from dataclasses import dataclass
from functools import partial
from secrets import token_hex

import msgspec

from services.auth import domain
from services.auth.domain import Account, RefreshToken
from services.auth.service.ports import TokenIssuer, Transactions
from services.auth.service.revocations import TokenRevocations
from services.auth.store import logins, trail
from services.auth.store.logins import NewLogin
from shared.contract.admin import Act
from shared.contract.auth import Authenticated, EndLogin, ListLogins, Logins, LoginView, Origin
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.session import Ack


@dataclass(frozen=True, kw_only=True)
class LoginSessions:
    """All raise RequestError (`unavailable`)."""

    database: Transactions
    tokens: TokenIssuer
    revocations: TokenRevocations
    most: int
    """Logins of an account; a further one ends the oldest. 0: any number."""
    refresh_seconds: float
    """Life of a refresh token."""

    async def start(
        self, account: Account, revision: int, began: float, origin: Origin, device: str, *, refreshable: bool = False
    ) -> Authenticated:
        """The secret was right in the snapshot of `revision`, which was read at `began`: later revocations of all
        logins void the token, and this one if they are committed already. Edges of the version before compare times:
        for them the token is dated after all former revocations. Raises RequestError: `unauthenticated`."""
        issued = max(began, account.tokens_from)
        refresh = RefreshToken(token_hex(16), token_hex(32)) if refreshable else None
        token = (self.tokens.issue_brief if refreshable else self.tokens.issue)(account.id, issued, revision)
        ends = int(issued + self.refresh_seconds) if refreshable else token.expires
        login = LoginView(token.sid, int(issued * 1000), ends, origin.address, origin.client, device)
        new = NewLogin(login, revision, refresh)
        step = partial(logins.add, account=account.id, new=new, most=self.most, seconds=int(time.time()))
        if (displaced := await self.database.write(step)) is None:
            raise RequestError(ErrorCode.UNAUTHENTICATED, "all logins of this account were ended meanwhile")
        for ended in displaced:
            await self.revocations.publish(ended)
        profile = msgspec.structs.asdict(account.profile)
        del profile["bot"]  # a bot has no secret to log in by
        answer = Authenticated(**profile, sid=token.sid, token=token.text, expires=token.expires, revision=revision)
        return (
            answer if refresh is None else msgspec.structs.replace(answer, refresh=refresh.text, refresh_expires=ends)
        )

    async def list(self, request: ListLogins) -> Logins:
        """Raises RequestError: `unauthenticated`."""
        domain.check_actor(request.actor)
        step = partial(logins.list_valid, account=request.actor, seconds=int(time.time()))
        return Logins(await self.database.read(step))

    async def end(self, request: EndLogin, by: str = "user") -> Ack:
        """Raises RequestError: `unauthenticated`, `invalid`, `not_found` also for a login of another account."""
        domain.check_actor(request.actor)
        domain.check_opaque(request.sid, "sid")
        end = partial(logins.end, account=request.actor, sid=request.sid, seconds=int(time.time()))
        step = trail.recorded(end, Act("end login", request.actor, by))
        if (revocation := await self.database.write(step)) is None:
            raise RequestError(ErrorCode.NOT_FOUND, "there is no such login", "sid")
        await self.revocations.publish(revocation)
        return Ack()
