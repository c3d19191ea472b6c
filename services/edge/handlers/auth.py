"""Commands about the login of the connection."""

from services.edge.canonical.commands import GetServerStatus, RenewToken, RequestVerification
from services.edge.canonical.replies import Reply, ServerStatus, TokenRenewed
from services.edge.client.session import LoginSession
from services.edge.dialects.base import Request
from services.edge.login.auth_requests import AuthRequests
from services.edge.login.auth_state import AuthState
from services.edge.login.bots import BotCommand, OwnBots
from services.edge.login.login import LoginFlow
from services.edge.login.made import OwnMade
from services.edge.login.self_revocation import SelfRevocation
from services.edge.login.verification import VerificationFlow
from shared.contract.auth import ChangePassword, DeleteAccount, EndLogin, ListLogins, Login, Logout, Refresh, Register
from shared.contract.made import EndMade, ListMade
from shared.contract.recovery import Recover, RecoverByTicket, RequestRecovery

LoginCommand = Register | Login | RequestVerification | GetServerStatus | RenewToken | Refresh
"""Commands that begin a login, or need none."""
RecoveryCommand = Recover | RequestRecovery | RecoverByTicket
OwnLoginCommand = DeleteAccount | Logout | ListLogins | EndLogin | ChangePassword | BotCommand | ListMade | EndMade
"""Commands about the logins of an account, and about what it has made."""


class AuthHandler:
    """All raise RequestError."""

    def __init__(
        self,
        requests: AuthRequests,
        login: LoginFlow,
        verification: VerificationFlow,
        self_revocation: SelfRevocation,
        state: AuthState,
        bots: OwnBots,
        made: OwnMade,
    ) -> None:
        self._requests = requests
        self._login = login
        self._verification = verification
        self._self_revocation = self_revocation
        self._state = state
        self._bots = bots
        self._made = made

    async def authenticate(self, session: LoginSession, request: Request) -> None:
        await self._login.authenticate(session, request)

    async def handle(self, session: LoginSession, request: Request, command: LoginCommand) -> Reply:
        match command:
            case Register() | Login():
                return await self._login.log_in(session, request)
            case RequestVerification():
                return await self._verification.mail(session.connection)
            case GetServerStatus():
                return ServerStatus(self._state.maintenance)
            case Refresh():
                return await self._requests.refresh(session.connection, command)
            case RenewToken():  # its token is verified already
                connection = session.connection
                return TokenRenewed(connection.account, connection.sid, connection.token_expires)

    async def recover(self, session: LoginSession, command: RecoveryCommand) -> Reply:
        if isinstance(command, RequestRecovery):
            return await self._requests.request_recovery(session.connection, command)
        return await self._self_revocation.recover(session, command)

    async def handle_own(self, session: LoginSession, command: OwnLoginCommand) -> Reply:
        own = self._self_revocation
        match command:
            case DeleteAccount():
                return await own.delete_account(session, command)
            case ChangePassword():
                return await own.change_password(session, command)
            case Logout():
                return await own.end_login(session, session.connection.sid)
            case EndLogin(sid):
                return await own.end_login(session, sid)
            case ListLogins():
                return await self._requests.list_logins(session.connection)
            case ListMade() | EndMade():
                return await self._made.handle(command, session.connection.account)
            case _:
                return await self._bots.handle(session.connection, command)
