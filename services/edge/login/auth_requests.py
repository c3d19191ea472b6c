"""Sends requests to the auth service on behalf of a connection. They contain the origin of the connection, for the rate
limits of the auth service."""

from typing import TypeVar

from services.edge.client.connection import Connection
from services.edge.login.auth_state import AuthState
from shared.bus.client import Bus
from shared.contract.auth import Login, Origin
from shared.contract.ids import NodeId
from shared.contract.made import ExportLogins
from shared.contract.routes import HasRoute
from shared.request_nonce import request_nonce_of

R = TypeVar("R")

_SENT_ONCE: tuple[object, ...] = (Login, ExportLogins)
"""Requests that are not repeated. At each login request, the auth service computes a hash, and it records each
export."""


class AuthRequests:
    """Sends requests to the auth service. Each request fails at once while the service is known to be down. A request
    with an effect is repeated in the time of the operation, and its nonce ensures that it has its effect only once.
    Every method may raise RequestError."""

    def __init__(self, bus: Bus, node: NodeId, state: AuthState) -> None:
        self._bus = bus
        self._node = node
        self._state = state

    async def send(self, connection: Connection, request: HasRoute[R]) -> R:
        """Send a request. Properties of the connection are added, as far as the type of the request has fields for
        them."""
        self._state.require_service()
        client = connection.dialect.name if connection.dialect else ""
        known = {
            "actor": connection.account,
            "origin": Origin(self._node, connection.number, connection.address, client),
            "caller_sid": connection.sid,
            "base_url": connection.info.base_url,
        }
        for name, value in known.items():
            if hasattr(request, name):
                setattr(request, name, value)
        if type(request) in _SENT_ONCE:
            return await self._bus.send(request)
        nonce = request_nonce_of(connection.account, getattr(request, "nonce", ""))
        return await self._bus.send(request, retry=True, nonce=nonce)
