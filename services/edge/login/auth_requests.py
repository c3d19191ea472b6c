"""Requests to the auth service on behalf of a connection, with the origin that its rate limits need."""

from typing import TypeVar

from services.edge.client.connection import Connection
from services.edge.login.auth_state import AuthState
from shared.bus.client import Bus
from shared.contract.auth import (
    Authenticated,
    ChangePassword,
    DeleteAccount,
    EndLogin,
    ListLogins,
    Login,
    Logins,
    Logout,
    Origin,
    Refresh,
    Refreshed,
    Register,
    SendVerification,
    VerificationNeeded,
)
from shared.contract.bots import (
    BotList,
    CreateBot,
    CreateBotToken,
    CreatedBot,
    CreatedBotToken,
    DeleteBot,
    DeleteBotToken,
    ListBots,
)
from shared.contract.ids import NodeId
from shared.contract.made import AccountRecord, ExportLogins
from shared.contract.recovery import Recover, RecoverByTicket, Recovered, RequestRecovery
from shared.contract.routes import Ack, Route
from shared.request_nonce import new_nonce, request_nonce_of

Q = TypeVar("Q")
R = TypeVar("R")


class AuthRequests:
    """Each request waits for its reply for `seconds`, or fails at once while auth is known to be down. What has an
    effect is repeated meanwhile, and has it once, by its nonce; but a login computes a hash each time, and makes no
    harm that lasts. All raise RequestError."""

    def __init__(self, bus: Bus, node: NodeId, state: AuthState, seconds: float) -> None:
        self._bus = bus
        self._node = node
        self._state = state
        self.seconds = seconds

    async def log_in(self, connection: Connection, command: Login | Register) -> Authenticated | VerificationNeeded:
        command.origin = self._origin(connection)
        if isinstance(command, Login):
            command.base_url = connection.info.base_url
            return await self._request(Login.route, command)
        return await self._carry_out(Register.route, command)

    async def send_verification(self, connection: Connection, ticket: str) -> None:
        request = SendVerification(ticket, self._origin(connection), connection.info.base_url)
        await self._carry_out(SendVerification.route, request)

    async def recover(self, connection: Connection, command: Recover | RecoverByTicket) -> Recovered:
        command.origin = self._origin(connection)
        if isinstance(command, Recover):
            return await self._carry_out(Recover.route, command)
        return await self._carry_out(RecoverByTicket.route, command)

    async def request_recovery(self, connection: Connection, command: RequestRecovery) -> Ack:
        command.origin = self._origin(connection)
        return await self._carry_out(RequestRecovery.route, command)

    async def delete_account(self, connection: Connection, command: DeleteAccount) -> Ack:
        command.actor, command.origin = connection.account, self._origin(connection)
        return await self._carry_out(DeleteAccount.route, command)

    async def change_password(self, connection: Connection, command: ChangePassword) -> Authenticated:
        command.actor, command.origin = connection.account, self._origin(connection)
        command.caller_sid = connection.sid
        return await self._carry_out(ChangePassword.route, command)

    async def refresh(self, connection: Connection, command: Refresh) -> Refreshed:
        command.origin = self._origin(connection)
        return await self._carry_out(Refresh.route, command)

    async def list_logins(self, connection: Connection) -> Logins:
        return await self._request(ListLogins.route, ListLogins(connection.account), retry=True)

    async def end_login(self, connection: Connection, sid: str) -> Ack:
        if sid == connection.sid:
            return await self._carry_out(Logout.route, Logout(sid, connection.account))
        return await self._carry_out(EndLogin.route, EndLogin(sid, connection.account))

    async def create_bot(self, connection: Connection, command: CreateBot) -> CreatedBot:
        command.actor, command.origin = connection.account, self._origin(connection)
        return await self._carry_out(CreateBot.route, command, request_nonce_of(command.actor, command.nonce))

    async def list_bots(self, connection: Connection) -> BotList:
        return await self._request(ListBots.route, ListBots(connection.account), retry=True)

    async def delete_bot(self, connection: Connection, command: DeleteBot) -> Ack:
        command.actor = connection.account
        return await self._carry_out(DeleteBot.route, command)

    async def create_bot_token(self, connection: Connection, command: CreateBotToken) -> CreatedBotToken:
        command.actor = connection.account
        return await self._carry_out(CreateBotToken.route, command, request_nonce_of(command.actor, command.nonce))

    async def delete_bot_token(self, connection: Connection, command: DeleteBotToken) -> Ack:
        command.actor = connection.account
        return await self._carry_out(DeleteBotToken.route, command)

    async def export(self, connection: Connection) -> AccountRecord:
        request = ExportLogins(connection.account, self._origin(connection))
        return await self._request(ExportLogins.route, request)

    async def _carry_out(self, route: Route[Q, R], request: Q, nonce: str = "") -> R:
        self._state.require_service()
        nonce = nonce or new_nonce()
        return await self._bus.request(route, request, seconds=self.seconds, retry=True, nonce=nonce)

    async def _request(self, route: Route[Q, R], request: Q, *, retry: bool = False) -> R:
        self._state.require_service()
        return await self._bus.request(route, request, seconds=self.seconds, retry=retry)

    def _origin(self, connection: Connection) -> Origin:
        client = connection.dialect.name if connection.dialect else ""
        return Origin(self._node, connection.number, connection.address, client)
