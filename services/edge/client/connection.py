"""The identity of one client: its dialect, its login, and its permissions. This module is pure: it does no I/O."""

from dataclasses import dataclass
from enum import Enum, auto

from services.edge.dialects.base import NO_LOGIN, NO_VALID_FRAME, ConnectionInfo, Dialect, Request
from services.edge.dialects.registry import Dialects
from services.edge.rate_limit import AccountRequests
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
    """A registration or login that waits until its e-mail address is verified. `expires` is a time on the caller's
    clock."""

    request: Request
    ticket: str
    expires: float


class Connection:
    """`number` is unique on this node. `address` is the client's address. Times are seconds of one monotonic clock. The
    dialect is None until the first frame selects one of `dialects`."""

    __slots__ = (
        "account", "account_requests", "address", "claims", "dialect", "dialects", "first_valid", "info", "number",
        "opened", "pending_verification", "phase", "revision", "scopes", "sid", "token", "token_expires",
    )  # fmt: skip

    def __init__(
        self, number: int, address: str, dialect: Dialect | None, dialects: Dialects, info: ConnectionInfo, now: float
    ) -> None:
        self.number = number
        self.address = address
        self.dialect = dialect
        self.dialects = dialects
        self.info = info
        self.phase = Phase.OPENED
        self.opened = now
        self.first_valid: float | None = None
        """When the first frame arrived that could be decoded."""
        self.account: AccountId = NO_ACCOUNT
        self.sid = ""
        self.token = ""
        """The last token that was verified for this login."""
        self.token_expires = 0
        """Unix seconds."""
        self.revision = 0
        self.claims: Claims | None = None
        """The claims of the token that logged in, or None if the login was by a secret."""
        self.scopes: frozenset[TokenScope] | None = None
        """The scopes of the bot's token that logged in, or None if the account is no bot."""
        self.pending_verification: PendingVerification | None = None
        self.account_requests: AccountRequests | None = None
        """Limits the requests of all connections of the account together."""

    def logged_in(self, answer: Authenticated, account_requests: AccountRequests, claims: Claims | None = None) -> None:
        """Note the login. `claims`: the claims of the token that logged in, or None if a secret did."""
        self.phase = Phase.AUTHENTICATED
        self.account, self.sid, self.revision = answer.account, answer.sid, answer.revision
        self.claims, self.scopes = claims, claims.scopes if claims is not None else None
        self.account_requests = account_requests

    def login_replaced(self, answer: Authenticated) -> None:
        """Note that the account has this new login, and that its previous logins are revoked."""
        self.sid, self.revision = answer.sid, answer.revision
        self.claims, self.token = None, ""

    def token_shown(self, token: str, claims: Claims, revision: int) -> None:
        """Note that the client has sent this token, which no revocation up to `revision` makes invalid. If the token
        belongs to another login of the account, the connection changes to that login."""
        if claims.sid != self.sid:
            self.sid, self.claims, self.revision = claims.sid, claims, revision
        self.token, self.token_expires = token, claims.expires

    def logged_out(self) -> None:
        """Return the connection to the state in which it was opened."""
        self.token = ""
        self.phase = Phase.OPENED
        self.account, self.sid = NO_ACCOUNT, ""
        self.account_requests = self.scopes = None

    def may_replace_token(self, claims: Claims) -> bool:
        """Whether the token may replace the login's token. A bot's token may not replace another token, because the
        bot's scopes must end when its token is revoked."""
        if self.account == NO_ACCOUNT or claims.sid == self.sid:
            return True
        return self.scopes is None and claims.scopes is None

    def has_verified_token(self, request: Request, unix_seconds: int) -> bool:
        """Whether the request has the token that was verified earlier for the same account, and the token is still
        valid."""
        same = request.token == self.token and request.account in (NO_ACCOUNT, self.account)
        return same and unix_seconds <= self.token_expires

    def is_ended_by(self, revocation: Revocation) -> bool:
        """Whether the revocation ends this login. Revocations with a number up to the login's revision do not."""
        if revocation.number <= self.revision:
            return False
        if self.claims is not None:
            return self.claims.is_voided_by(revocation)
        return revocation.sid in ("", self.sid)

    def timed_out(self, now: float, first_frame_seconds: float, unauthenticated_seconds: float) -> str:
        """The reason to close a connection that has no login yet. The text is empty if the connection may stay."""
        if self.phase is not Phase.OPENED:
            return ""
        if self.first_valid is None:
            return NO_VALID_FRAME if now - self.opened > first_frame_seconds else ""
        if self.pending_verification is not None:
            return ""
        return NO_LOGIN if now - self.first_valid > unauthenticated_seconds else ""
