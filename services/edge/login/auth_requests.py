"""Requests to the auth service on behalf of a connection, with the origin that its rate limits need."""

from services.edge.client.connection import Connection
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.auth import (
    Authenticated,
    DeleteAccount,
    Login,
    Origin,
    Recover,
    Register,
    SendVerification,
    VerificationNeeded,
)
from shared.contract.ids import NodeId
from shared.contract.session import Ack


class AuthRequests:
    """Each request waits for its reply for `seconds`. All raise RequestError."""

    def __init__(self, bus: Bus, node: NodeId, seconds: float) -> None:
        self._bus = bus
        self._node = node
        self.seconds = seconds

    async def log_in(self, connection: Connection, command: Login | Register) -> Authenticated | VerificationNeeded:
        command.origin = self._origin(connection)
        if isinstance(command, Login):
            return await self._bus.request(subjects.LOGIN, command, seconds=self.seconds)
        return await self._bus.request(subjects.REGISTER, command, seconds=self.seconds)

    async def send_verification(self, connection: Connection, ticket: str) -> None:
        request = SendVerification(ticket, self._origin(connection), connection.info.base_url)
        await self._bus.request(subjects.SEND_VERIFICATION, request, seconds=self.seconds)

    async def recover(self, connection: Connection, command: Recover) -> Ack:
        command.origin = self._origin(connection)
        return await self._bus.request(subjects.RECOVER, command, seconds=self.seconds)

    async def delete_account(self, connection: Connection, command: DeleteAccount) -> Ack:
        command.actor = connection.account
        return await self._bus.request(subjects.DELETE_ACCOUNT, command, seconds=self.seconds, retry=True)

    def _origin(self, connection: Connection) -> Origin:
        return Origin(self._node, connection.number, connection.address)
