"""Handles commands about the logins and bots of an account, and about webhooks, links and tokens."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

from services.edge.canonical.commands import AuthCommand, GetServerStatus, RenewToken, RequestVerification
from services.edge.canonical.replies import (
    AccountMade,
    AccountRecovered,
    MadeCounts,
    PasswordChanged,
    Reply,
    ServerStatus,
    TokenRenewed,
)
from services.edge.client.session import LoginSession
from services.edge.dialects.base import Request
from services.edge.login.account_lookup import AccountLookup
from services.edge.login.auth_requests import AuthRequests
from services.edge.login.auth_state import AuthState
from services.edge.login.login import LoginFlow
from services.edge.login.verification import VerificationFlow
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.auth import ChangePassword, DeleteAccount, EndLogin, Login, Logout, Register
from shared.contract.bots import CreateBot, ListBots
from shared.contract.errors import RequestError
from shared.contract.guests import RegisterGuest, RenameGuest
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.made import EndMade, ListMade
from shared.contract.recovery import Recover, RecoverByTicket
from shared.contract.routes import Ack, HasRoute
from shared.contract.session import SetProfile
from shared.request_nonce import new_nonce
from shared.telemetry import log

_log = log(__name__)
_COUNT_SECONDS = 2.0
"""The reply about a new secret contains the numbers of webhooks, links and bots of the account. It waits at most this
long for them."""
R = TypeVar("R")


@dataclass(frozen=True)
class AuthHandler:
    """Every method may raise RequestError."""

    _bus: Bus
    _requests: AuthRequests
    _login: LoginFlow
    _verification: VerificationFlow
    _state: AuthState
    _lookup: AccountLookup

    async def authenticate(self, session: LoginSession, request: Request) -> None:
        await self._login.authenticate(session, request)

    async def handle(self, session: LoginSession, request: Request, command: AuthCommand) -> Reply:
        connection = session.connection
        match command:
            case Register() | RegisterGuest() | Login():
                return await self._login.log_in(session, request)
            case RequestVerification():
                return await self._verification.mail(connection)
            case GetServerStatus():
                return ServerStatus(self._state.maintenance)
            case RenewToken():  # the edge has already verified the token
                return TokenRenewed(connection.account, connection.sid, connection.token_expires)
            case RenameGuest():
                return await self._rename_guest(session, command)
            case Recover() | RecoverByTicket():
                return await self._reply_first(session, self._recover(session, command))
            case ChangePassword():  # the connection stays open, with the login that replaces its own
                login = await self._reply_first(session, self._requests.send(connection, command))
                connection.login_replaced(login)
                return PasswordChanged(login, await self._count_made(login.account))
            case DeleteAccount(of_guest=True) if not await session.is_last_of_guest():
                return Ack()
            case DeleteAccount():
                return await self._end(session, command)
            case Logout():
                return await self._end(session, Logout(connection.sid))
            case EndLogin(sid) if sid == connection.sid:
                return await self._end(session, Logout(sid))
            case ListMade():
                return await self._made(connection.account)
            case EndMade():
                return await self._end_made(connection.account)
            case CreateBot():
                created = await self._requests.send(connection, command)
                await self._lookup.ensure_bot_profile(created)
                return created
            case _:
                passed_on: HasRoute[Any] = command
                return await self._requests.send(connection, passed_on)

    async def _rename_guest(self, session: LoginSession, command: RenameGuest) -> Ack:
        renamed = await self._requests.send(session.connection, command)
        account = session.connection.account
        profile = SetProfile(account, renamed.nickname, nick=command.nick, actor=account)
        return await self._bus.send(profile, retry=True, nonce=new_nonce())

    async def _end(self, session: LoginSession, command: DeleteAccount | Logout) -> Ack:
        """End the login of this connection."""
        answer = await self._reply_first(session, self._requests.send(session.connection, command))
        if isinstance(command, DeleteAccount):
            session.deleted()
        else:
            session.log_out()
        return answer

    async def _recover(self, session: LoginSession, command: Recover | RecoverByTicket) -> AccountRecovered:
        recovered = await self._requests.send(session.connection, command)
        return AccountRecovered(await self._count_made(recovered.account))

    async def _reply_first(self, session: LoginSession, request: Awaitable[R]) -> R:
        """Perform a request that makes the login of its own connection invalid. The request is answered first, and then
        the login ends."""
        session.replies_first = True
        try:
            return await request
        finally:
            session.replies_first = False
            if session.is_void:
                session.is_void = False
                # a new list of revocations closes the connection
                self._state.require_revocations_after(session.connection.revision)

    async def _made(self, actor: AccountId) -> AccountMade:
        bots = await self._bus.send(ListBots(actor), retry=True)
        made = await self._bus.send(ListMade(actor), retry=True)
        return AccountMade(tuple(bots.bots), made)

    async def _end_made(self, actor: AccountId) -> Ack:
        for route in (EndMade.route, subjects.END_BOT_TOKENS):
            await self._bus.request(route, EndMade(actor), retry=True, nonce=new_nonce())
        return Ack()

    async def _count_made(self, account: AccountId) -> MadeCounts | None:
        """The numbers of webhooks, links and bots of the account, for the reply about a new secret. The result is None
        if they are unknown, because the new secret must be acknowledged even if counting fails."""
        if account == NO_ACCOUNT:
            return None
        try:
            async with asyncio.timeout(_COUNT_SECONDS):
                found = await self._made(account)
        except (RequestError, TimeoutError) as error:
            _log.warning("webhooks, links and bots of an account were not listed", account=account, error=repr(error))
            return None
        outgoing = sum(bool(one.origin) for one in found.made.hooks)
        tokens = sum(len(bot.tokens) for bot in found.bots)
        return MadeCounts(len(found.made.hooks) - outgoing, outgoing, len(found.made.links), tokens)
