"""Logs a connection in, by a registration, a secret or a token."""

from services.edge.client.session import LoginSession
from services.edge.dialects.base import Request
from services.edge.login.account_lookup import AccountLookup
from services.edge.login.auth_requests import AuthRequests
from services.edge.login.auth_state import AuthState
from services.edge.login.token_logins import TokenLoginReports
from services.edge.login.token_verifier import TokenVerifier
from services.edge.login.verification import VerificationFlow
from services.edge.presence.local_accounts import LocalAccounts
from shared.contract.auth import Authenticated, IdentifierKind, Login, LoginReply, Register, VerificationNeeded
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.guests import RegisterGuest
from shared.contract.ids import NO_ACCOUNT
from shared.contract.model import ProfileSummary
from shared.contract.routes import HasRoute
from shared.tokens import Claims


class LoginFlow:
    def __init__(
        self,
        requests: AuthRequests,
        verifier: TokenVerifier,
        verification: VerificationFlow,
        state: AuthState,
        accounts: LocalAccounts,
        lookup: AccountLookup,
        token_logins: TokenLoginReports,
    ) -> None:
        self._requests = requests
        self._verifier = verifier
        self._verification = verification
        self._state = state
        self._accounts = accounts
        self._lookup = lookup
        self._token_logins = token_logins

    async def authenticate(self, session: LoginSession, request: Request) -> None:
        """Check the token of a request. The token must belong to the connection's account. On a connection without an
        account, it logs in. If it belongs to another login of the account, it replaces the connection's login. Raises
        RequestError."""
        connection = session.connection
        if not request.token or isinstance(request.command, Login):
            return
        if connection.has_verified_token(request, int(self._state.clock.earliest())):
            return
        check = self._verifier.check_with_scopes if session.dialect.limits_scopes else self._verifier.check
        claims = await check(request.token)
        for account in (request.account, connection.account):
            if account not in (NO_ACCOUNT, claims.account):
                raise RequestError(ErrorCode.UNAUTHENTICATED, "the token is another account's", "token")
        if not connection.may_replace_token(claims):
            raise RequestError(
                ErrorCode.UNAUTHENTICATED, "a bot's connection keeps its token: use another connection", "token"
            )
        if connection.account == NO_ACCOUNT:
            answer = self._session_from_claims(claims, request.token)
            await self._enter(session, answer, await self._lookup.ensure_profile(answer), claims)
        else:
            self._token_logins.note(claims, connection)
        connection.token_shown(request.token, claims, self._state.revision)

    async def log_in(self, session: LoginSession, request: Request) -> Authenticated | VerificationNeeded:
        """Register or log in. Raises RequestError."""
        command = request.command
        assert isinstance(command, Register | RegisterGuest | Login)
        if isinstance(command, Login) and request.token:
            return await self._log_in_with_token(session, command, request.token)
        if isinstance(command, Register) and session.is_guest:
            command.guest = session.connection.account
        sent: HasRoute[LoginReply] = command  # type: ignore[assignment]
        answer = await self._requests.send(session.connection, sent)
        if isinstance(answer, VerificationNeeded):
            await self._verification.hold(session, request, answer)
            return answer
        dialect = session.dialect
        if isinstance(command, Register) and command.guest:
            session.guest_registered(answer)
            await self._lookup.ensure_profile(answer, is_new=True)
        elif not isinstance(command, Register) or dialect.registration_logs_in:
            summary = await self._lookup.ensure_profile(answer, is_new=not isinstance(command, Login))
            await self._enter(session, answer, summary)
            if dialect.login_shows_unread:
                dialect.unread_loaded(await self._lookup.count_unread(answer.account))
        return answer

    async def _log_in_with_token(self, session: LoginSession, command: Login, token: str) -> Authenticated:
        """Log in to the named account with a token instead of the secret."""
        claims = await self._verifier.check(token)
        answer = self._session_from_claims(claims, token)
        if command.kind is not IdentifierKind.UUID:
            raise RequestError(ErrorCode.UNAUTHENTICATED, "a token opens an account by its uuid")
        summary = await self._lookup.summary(claims.account)
        if summary is None or summary.uuid.lower() != command.identifier.lower():
            raise RequestError(ErrorCode.UNAUTHENTICATED, "unknown account or wrong secret")
        await self._enter(session, answer, summary, claims)
        return answer

    def _session_from_claims(self, claims: Claims, token: str) -> Authenticated:
        """Make the result of a login by token. The token has just been verified, so no revocation that was received so
        far ends it."""
        return Authenticated(
            account=claims.account, sid=claims.sid, token=token, expires=claims.expires, uuid="", nickname="",
            revision=self._state.revision,
        )  # fmt: skip

    async def _enter(
        self, session: LoginSession, answer: Authenticated, summary: ProfileSummary | None, claims: Claims | None = None
    ) -> None:
        """Register the account in presence, and then read its missed messages. `claims`: the claims of the token that
        logs in."""
        other_nodes = await self._accounts.register(answer.account)
        if session.is_closing:
            raise RequestError(ErrorCode.UNAVAILABLE, "the connection is closed")
        if self._accounts.is_full(answer.account) and session.connection.account != answer.account:
            raise RequestError(ErrorCode.RATE_LIMITED, "too many connections of this account")
        self._state.require_revocations_after(answer.revision)
        await session.log_in(answer, other_nodes, summary, claims)
        if claims is not None:
            self._token_logins.note(claims, session.connection)
