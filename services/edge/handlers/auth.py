"""Commands about the login of the connection."""

from services.edge.canonical.commands import GetServerStatus, RequestVerification
from services.edge.canonical.replies import Reply, ServerStatus
from services.edge.client.session import LoginSession
from services.edge.dialects.base import Request
from services.edge.login.auth_state import AuthState
from services.edge.login.login import LoginFlow
from services.edge.login.self_revocation import SelfRevocation
from services.edge.login.verification import VerificationFlow
from shared.contract.auth import DeleteAccount, Login, Recover, Register

AuthCommand = Register | Login | RequestVerification | GetServerStatus | DeleteAccount | Recover


class AuthHandler:
    """All raise RequestError."""

    def __init__(
        self, login: LoginFlow, verification: VerificationFlow, self_revocation: SelfRevocation, state: AuthState
    ) -> None:
        self._login = login
        self._verification = verification
        self._self_revocation = self_revocation
        self._state = state

    async def authenticate(self, session: LoginSession, request: Request) -> None:
        await self._login.authenticate(session, request)

    async def handle(self, session: LoginSession, request: Request, command: AuthCommand) -> Reply:
        match command:
            case Register() | Login():
                return await self._login.log_in(session, request)
            case RequestVerification():
                return await self._verification.mail(session.connection)
            case GetServerStatus():
                return ServerStatus(self._state.maintenance)
            case DeleteAccount():
                return await self._self_revocation.delete_account(session, command)
            case Recover():
                return await self._self_revocation.recover(session, command)
