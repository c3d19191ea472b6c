"""How a connection becomes an account's: by registration, secret or token, with e-mails verified where they must be."""

import asyncio

from services.edge.canonical.events import VerificationEnded
from services.edge.canonical.replies import NoPendingVerification, VerificationMailed
from services.edge.client.client import Client
from services.edge.client.connection import PendingVerification
from services.edge.client.session import LoginSession
from services.edge.context import EdgeContext
from services.edge.dialects.base import Request
from services.edge.login.token_verifier import TokenVerifier
from shared.contract import subjects
from shared.contract.auth import (
    Authenticated,
    IdentifierKind,
    Login,
    Origin,
    Register,
    SendVerification,
    VerificationNeeded,
)
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.message import GetUnread
from shared.contract.model import ProfileSummary
from shared.contract.session import EnsureProfile
from shared.database import now_ms
from shared.telemetry import log
from shared.tokens import Claims

_log = log(__name__)
_PROFILE_SECONDS = 2.0
_UNREAD_SECONDS = 2.0
_TOGETHER_SECONDS = 0.05
"""Two frames of which the second needs the first leave this far apart (clients handle the newest first)."""


class LoginFlow:
    def __init__(self, node: EdgeContext, gate: TokenVerifier) -> None:
        self._node = node
        self._gate = gate

    async def authenticate(self, session: LoginSession, request: Request) -> None:
        """A request that bears a token must be of the connection's account; on a connection without one the token is a
        login. Raises Refused."""
        connection = session.connection
        if (
            not request.token
            or isinstance(request.command, Login)
            or connection.has_verified_token(request, now_ms() // 1000)
        ):
            return
        claims = await self._gate.check(request.token, self._seconds)
        if request.account not in (NO_ACCOUNT, claims.account) or connection.account not in (
            NO_ACCOUNT,
            claims.account,
        ):
            raise RequestError(ErrorCode.UNAUTHENTICATED, "the token is another account's")
        if connection.account == NO_ACCOUNT:
            answer = self._session_from_claims(claims, request.token)
            await self._enter(session, answer, await self._face(answer), claims.issued)
        connection.token, connection.token_expires = request.token, claims.expires

    async def login(self, session: LoginSession, request: Request) -> Authenticated | VerificationNeeded:
        """Register or log in. Raises Refused."""
        command = request.command
        if isinstance(command, Login) and request.token:
            return await self._login_with_token(session, command, request.token)
        if isinstance(command, Login):
            command.origin = self.origin(session)
            answer = await self._node.bus.request(subjects.LOGIN, command, seconds=self._seconds)
        else:
            assert isinstance(command, Register)
            command.origin = self.origin(session)
            answer = await self._node.bus.request(subjects.REGISTER, command, seconds=self._seconds)
        if isinstance(answer, VerificationNeeded):
            await self._hold_pending_verification(session, request, answer)
            return answer
        if isinstance(command, Login) or session.dialect.registration_logs_in:
            await self._enter(session, answer, await self._face(answer))
            if session.dialect.login_shows_unread:
                session.dialect.unread_loaded(await self._unread(answer.account))
        return answer

    async def _login_with_token(self, session: LoginSession, command: Login, token: str) -> Authenticated:
        """A login by token instead of the secret, for the account that is named."""
        claims = await self._gate.check(token, self._seconds)
        answer = self._session_from_claims(claims, token)
        if command.kind is not IdentifierKind.UUID:
            raise RequestError(ErrorCode.UNAUTHENTICATED, "a token opens an account by its uuid")
        face = await self._node.summaries.get(claims.account, self._seconds)
        if face is None or face.uuid != command.identifier:
            raise RequestError(ErrorCode.UNAUTHENTICATED, "unknown account or wrong secret")
        await self._enter(session, answer, face, claims.issued)
        return answer

    def _session_from_claims(self, claims: Claims, token: str) -> Authenticated:
        """The token has just been checked: it is not void by any revocation heard of."""
        return Authenticated(
            account=claims.account, sid=claims.sid, token=token, expires=claims.expires, uuid="", nickname="",
            revision=self._node.revision,
        )  # fmt: skip

    async def _enter(
        self, session: LoginSession, answer: Authenticated, face: ProfileSummary | None, issued: int | None = None
    ) -> None:
        """Presence first, then what was missed. `issued`: of the token it is done by."""
        others = await self._node.accounts.register(answer.account)
        if session.is_closing:
            raise RequestError(ErrorCode.UNAVAILABLE, "the connection is closed")
        self._node.require_revocations_after(answer.revision)
        await session.log_in(answer, others, face, issued)

    async def _face(self, entered: Authenticated) -> ProfileSummary | None:
        """Heal a missing profile, and learn how the account is called now. A login does not fail for want of session:
        an event makes the profile, too, and the account is called as it was registered."""
        registered = ProfileSummary(entered.nickname, entered.uuid) if entered.nickname else None
        try:
            if registered is not None:
                await self._ensure_profile(entered)
            return await self._node.summaries.get(entered.account, _PROFILE_SECONDS) or registered
        except RequestError as refusal:
            _log.warning("profile not ensured", account=entered.account, error=str(refusal))
            return registered

    async def _ensure_profile(self, entered: Authenticated) -> None:
        seeds = EnsureProfile(
            account=entered.account, uuid=entered.uuid, nickname=entered.nickname, icon_id=entered.icon_id,
            signature=entered.signature, vip=entered.vip, created=entered.created, lobby=entered.lobby,
        )  # fmt: skip
        await self._node.bus.request(subjects.ENSURE_PROFILE, seeds, seconds=_PROFILE_SECONDS, retry=True)

    async def _unread(self, account: AccountId) -> int:
        try:
            unread = await self._node.bus.request(
                subjects.GET_UNREAD, GetUnread(account, 0), seconds=_UNREAD_SECONDS, retry=True
            )
        except RequestError as refusal:
            _log.warning("unread messages not counted", account=account, error=str(refusal))
            return 0
        return unread.total

    # Verification

    async def mail_verification(self, session: LoginSession) -> NoPendingVerification | VerificationMailed:
        withheld = session.connection.pending_verification
        if withheld is None:
            return NoPendingVerification()
        await self._mail(session, withheld.ticket)
        return VerificationMailed()

    async def _hold_pending_verification(
        self, session: LoginSession, request: Request, needed: VerificationNeeded
    ) -> None:
        """A client that knows of verification asks for the mail, and waits; to any other it is sent at once, with an
        answer to try again after it. Raises Refused."""
        if session.dialect.waits_for_verification:
            left = (needed.expires - now_ms()) / 1000
            session.connection.pending_verification = PendingVerification(
                request, needed.ticket, self._node.clock() + left
            )
        else:
            await self._mail(session, needed.ticket)

    async def _mail(self, session: LoginSession, ticket: str) -> None:
        base_url = session.connection.surroundings.base_url
        request = SendVerification(ticket, self.origin(session), base_url)
        await self._node.bus.request(subjects.SEND_VERIFICATION, request, seconds=self._seconds)

    def verification_opened(self, client: Client, ticket: str, passed: bool) -> None:
        """The mailed link was opened: what was withheld is repeated, in its turn."""
        withheld = client.connection.pending_verification
        if withheld is None or withheld.ticket != ticket:
            return
        client.notify(VerificationEnded("passed" if passed else "wrong"))
        if not passed:
            return
        client.connection.pending_verification = None
        command = withheld.request.command
        assert isinstance(command, Register | Login)
        command.ticket = ticket
        asyncio.get_running_loop().call_later(_TOGETHER_SECONDS, client.requeue, withheld.request)

    # What every request needs

    @property
    def _seconds(self) -> float:
        return self._node.settings.edge.request_seconds

    def origin(self, session: LoginSession) -> Origin:
        return Origin(self._node.id, session.connection.number, session.connection.address)
