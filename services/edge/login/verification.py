"""Registrations and logins that wait until a link mailed to their address is opened."""

import asyncio
from collections.abc import Callable

from services.edge.canonical.events import VerificationEnded
from services.edge.canonical.replies import NoPendingVerification, VerificationMailed
from services.edge.client.client import Client
from services.edge.client.connection import Connection, PendingVerification
from services.edge.dialects.base import Request
from services.edge.login.auth_requests import AuthRequests
from services.edge.rpc.remote_clock import RemoteClock
from shared.contract.auth import Login, Register, SendVerification, VerificationNeeded

_APART_SECONDS = 0.05
"""Two frames are sent this far apart if the second needs the first, because clients handle the newest first."""


class VerificationFlow:
    def __init__(self, requests: AuthRequests, auth_clock: RemoteClock, clock: Callable[[], float]) -> None:
        self._requests = requests
        self._auth_clock = auth_clock
        self._clock = clock

    async def hold(self, connection: Connection, request: Request, needed: VerificationNeeded) -> None:
        """Hold the request pending verification, if the dialect waits for that; the client then requests the mail
        itself. If the dialect does not wait, the mail is sent at once, and the reply asks the user to try again later.
        Raises RequestError."""
        assert connection.dialect is not None
        if connection.dialect.waits_for_verification:
            seconds = needed.expires / 1000 - self._auth_clock.earliest()
            connection.pending_verification = PendingVerification(request, needed.ticket, self._clock() + seconds)
        else:
            await self._requests.send(connection, SendVerification(needed.ticket))

    async def mail(self, connection: Connection) -> NoPendingVerification | VerificationMailed:
        """Raises RequestError."""
        pending = connection.pending_verification
        if pending is None:
            return NoPendingVerification()
        await self._requests.send(connection, SendVerification(pending.ticket))
        return VerificationMailed()

    def opened(self, client: Client, ticket: str, passed: bool) -> None:
        """The mailed link was opened, so the held request is repeated in its place."""
        pending = client.connection.pending_verification
        if pending is None or pending.ticket != ticket:
            return
        client.notify(VerificationEnded("passed" if passed else "wrong"))
        if not passed:
            return
        client.connection.pending_verification = None
        command = pending.request.command
        assert isinstance(command, Register | Login)
        command.ticket = ticket
        asyncio.get_running_loop().call_later(_APART_SECONDS, client.requeue, pending.request)
