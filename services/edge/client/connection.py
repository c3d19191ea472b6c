"""Who one client is: its dialect, its login, and what it is allowed to do. Sans-IO."""

from dataclasses import dataclass
from enum import Enum, auto

from services.edge.dialects.base import NO_LOGIN, NO_VALID_FRAME, ConnectionInfo, Dialect, Request
from services.edge.dialects.registry import Dialects
from services.edge.rate_limit import TokenBucket
from shared.contract.auth import Authenticated, Revocation
from shared.contract.bots import TokenScope
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.tokens import Claims


class CloseConnection(Exception):
    """The connection must be closed with this WebSocket close code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Phase(Enum):
    OPENED = auto()
    AUTHENTICATED = auto()
    CLOSING = auto()


@dataclass(frozen=True, slots=True)
class PendingVerification:
    """A registration or login that waits for its e-mail to be verified; `expires` on the caller's clock."""

    request: Request
    ticket: str
    expires: float


class Connection:
    """`number` is unique on this node, `address` is the client's. Times are seconds of one monotonic clock. The dialect
    is None until the first frame selects one of `dialects`."""

    __slots__ = (
        "account", "account_requests", "address", "claims", "dialect", "dialects", "first_valid", "info", "number",
        "opened", "pending_verification", "phase", "revision", "scopes", "sid", "token", "token_expires",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        address: str,
        dialect: Dialect | None,
        dialects: Dialects,
        info: ConnectionInfo,
        now: float,
    ) -> None:
        self.number = number
        self.address = address
        self.dialect = dialect
        self.dialects = dialects
        self.info = info
        self.phase = Phase.OPENED
        self.opened = now
        self.first_valid: float | None = None
        """When the first frame was decoded without an error."""
        self.account: AccountId = NO_ACCOUNT
        self.sid = ""
        self.token = ""
        """The last one that was verified for this login."""
        self.token_expires = 0
        """Unix seconds."""
        self.revision = 0
        self.claims: Claims | None = None
        """Of the token that logged in; None: the login was by a secret."""
        self.scopes: frozenset[TokenScope] | None = None
        """Of the bot's token that logged in; None: of no bot."""
        self.pending_verification: PendingVerification | None = None
        self.account_requests: TokenBucket | None = None
        """Limits the requests of all connections of the account together."""

    def logged_in(self, answer: Authenticated, account_requests: TokenBucket, claims: Claims | None = None) -> None:
        """`claims`: of the login's token; None: the login was by a secret."""
        self.phase = Phase.AUTHENTICATED
        self.account, self.sid, self.revision = answer.account, answer.sid, answer.revision
        self.claims, self.scopes = claims, claims.scopes if claims is not None else None
        self.account_requests = account_requests
        self.pending_verification = None

    def login_replaced(self, answer: Authenticated) -> None:
        """The account has this login instead: its former ones are revoked."""
        self.sid, self.revision = answer.sid, answer.revision
        self.claims, self.token = None, ""

    def token_shown(self, token: str, claims: Claims, revision: int) -> None:
        """The account's token, which no revocation up to `revision` voids. If it is of another login, the connection is
        of that one from now on."""
        if claims.sid != self.sid:
            self.sid, self.claims, self.revision = claims.sid, claims, revision
        self.token, self.token_expires = token, claims.expires

    def logged_out(self) -> None:
        """The connection is as it was when it was opened."""
        self.token = ""
        self.phase = Phase.OPENED
        self.account, self.sid = NO_ACCOUNT, ""
        self.account_requests = self.scopes = None

    def may_replace_token(self, claims: Claims) -> bool:
        """Whether the token may follow the login's. A bot's may not: its scopes end with its revocation."""
        if self.account == NO_ACCOUNT or claims.sid == self.sid:
            return True
        return self.scopes is None and claims.scopes is None

    def has_verified_token(self, request: Request, unix_seconds: int) -> bool:
        """Whether the request bears the token that was verified before, for the account it names, and in time."""
        same = request.token == self.token and request.account in (NO_ACCOUNT, self.account)
        return same and unix_seconds <= self.token_expires

    def is_ended_by(self, revocation: Revocation) -> bool:
        """Whether the revocation voids this login. Revocations up to the login's revision do not."""
        if revocation.number <= self.revision:
            return False
        if self.claims is not None:
            return self.claims.is_voided_by(revocation)
        return revocation.sid in ("", self.sid)

    def timed_out(self, now: float, first_frame_seconds: float, unauthenticated_seconds: float) -> str:
        """The reason for which a connection without a login is closed by now; empty while it may stay."""
        if self.phase is not Phase.OPENED:
            return ""
        if self.first_valid is None:
            return NO_VALID_FRAME if now - self.opened > first_frame_seconds else ""
        if self.pending_verification is not None:
            return ""
        return NO_LOGIN if now - self.first_valid > unauthenticated_seconds else ""
