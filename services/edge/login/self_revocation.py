"""Requests that void the login of their own connection: they are answered first, with all that the answer shows, and
then the login ends."""

from collections.abc import Awaitable
from typing import TypeVar

from services.edge.canonical.replies import AccountRecovered, PasswordChanged
from services.edge.client.session import LoginSession
from services.edge.login.auth_requests import AuthRequests
from services.edge.login.auth_state import AuthState
from services.edge.login.made import OwnMade
from shared.contract.auth import ChangePassword, DeleteAccount
from shared.contract.recovery import Recover, RecoverByTicket
from shared.contract.routes import Ack

R = TypeVar("R")


class SelfRevocation:
    """All raise RequestError."""

    def __init__(self, requests: AuthRequests, state: AuthState, made: OwnMade) -> None:
        self._requests = requests
        self._state = state
        self._made = made

    async def recover(self, session: LoginSession, command: Recover | RecoverByTicket) -> AccountRecovered:
        """A new secret by the security question, or by a mailed ticket."""

        async def recover() -> AccountRecovered:
            recovered = await self._requests.recover(session.connection, command)
            return AccountRecovered(await self._made.count(recovered.account))

        return await self._reply_first(session, recover())

    async def delete_account(self, session: LoginSession, command: DeleteAccount) -> Ack:
        answer = await self._reply_first(session, self._requests.delete_account(session.connection, command))
        session.log_out()
        return answer

    async def end_login(self, session: LoginSession, sid: str) -> Ack:
        """Ends the login of this connection, or another one of its account."""
        connection = session.connection
        if sid != connection.sid:
            return await self._requests.end_login(connection, sid)
        answer = await self._reply_first(session, self._requests.end_login(connection, sid))
        session.log_out()
        return answer

    async def change_password(self, session: LoginSession, command: ChangePassword) -> PasswordChanged:
        """The connection stays, with the login that replaces its own."""
        login = await self._reply_first(session, self._requests.change_password(session.connection, command))
        session.connection.login_replaced(login)
        return PasswordChanged(login, await self._made.count(login.account))

    async def _reply_first(self, session: LoginSession, request: Awaitable[R]) -> R:
        session.replies_first = True
        try:
            return await request
        finally:
            session.replies_first = False
            if session.is_void:
                session.is_void = False
                # The revocation is listed again, and then closes the connection.
                self._state.require_revocations_after(session.connection.revision)
