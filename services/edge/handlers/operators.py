"""Handles the commands of IRC operators: OPER, KILL and WALLOPS. Each of them is in the audit trail."""

from collections.abc import Iterable

from services.edge.canonical.irc_commands import ActAsOperator, BecomeOperator
from services.edge.client.session import LoginSession
from services.edge.ephemeral.nicks import NickEvents
from services.edge.handlers.table import Handlers
from services.edge.login.auth_requests import AuthRequests
from shared.bus.client import Bus
from shared.contract.admin import OperatorAct, RecordOperatorAct
from shared.contract.auth import Authenticated, IdentifierKind, Login, Logout
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.routes import Ack
from shared.names import fold
from shared.request_nonce import new_nonce
from shared.telemetry import log

_log = log(__name__)


class IrcOperators:
    """`names`: the usernames of the accounts that may become operators."""

    def __init__(self, bus: Bus, requests: AuthRequests, nicks: NickEvents, names: Iterable[str]) -> None:
        self._bus = bus
        self._requests = requests
        self._nicks = nicks
        self._names = frozenset(map(fold, names))

    def handlers(self) -> Handlers:
        return {BecomeOperator: self._become_operator, ActAsOperator: self._act}

    async def _become_operator(self, session: LoginSession, command: BecomeOperator) -> Ack:
        """Check the secret by a login, which ends at once, and make the account an operator. Raises RequestError."""
        if fold(command.name) not in self._names:
            raise RequestError(ErrorCode.FORBIDDEN, "this account is no operator of IRC", reason=Reason.NOT_ADMIN)
        login = Login(kind=IdentifierKind.USERNAME, identifier=command.name, secret=command.secret)
        reply = await self._requests.send(session.connection, login)
        if not isinstance(reply, Authenticated):
            raise RequestError(ErrorCode.FORBIDDEN, "this login needs a verification", reason=Reason.NOT_VERIFIED)
        await self._bus.send(Logout(reply.sid, reply.account), retry=True, nonce=new_nonce())
        account = session.connection.account
        await self._requests.send(session.connection, RecordOperatorAct(OperatorAct.OPER, reply.account))
        self._nicks.make_operator(account)
        _log.info("operator of IRC", account=account, operator=reply.account)
        return Ack()

    async def _act(self, session: LoginSession, command: ActAsOperator) -> Ack:
        """Record the act, then carry it out. Raises RequestError."""
        account = session.connection.account
        self._nicks.check_operator(account)
        act = OperatorAct.KILL if command.account else OperatorAct.WALLOPS
        await self._requests.send(session.connection, RecordOperatorAct(act, command.account or account))
        if (face := session.summary()) is not None:  # without one, the connection has logged out meanwhile
            self._nicks.act(command, account, face)
        return Ack()
