"""Holds registrations and logins until a link that is mailed to their address is opened."""

import asyncio
from collections.abc import Callable

from services.edge.canonical.events import VerificationEnded
from services.edge.canonical.replies import NoPendingVerification, VerificationMailed
from services.edge.client.client import Client
from services.edge.client.connection import Connection, PendingVerification
from services.edge.client.session import LoginSession
from services.edge.dialects.base import Request
from services.edge.login.auth_requests import AuthRequests
from services.edge.rpc.remote_clock import RemoteClock
from shared.contract.auth import Login, Register, SendVerification, VerificationNeeded

_APART_SECONDS = 0.05
"""The time between two frames, if a client needs the first frame to handle the second. Clients handle the newest frame
first."""


class VerificationFlow:
    def __init__(self, requests: AuthRequests, auth_clock: RemoteClock, clock: Callable[[], float]) -> None:
        self._requests = requests
        self._auth_clock = auth_clock
        self._clock = clock

    async def hold(self, session: LoginSession, request: Request, needed: VerificationNeeded) -> None:
        """Hold the request pending verification, if the dialect waits for that. The client then requests the mail
        itself. If the dialect does not wait, the mail is sent at once, and the reply tells the user to try again later.
        Raises RequestError."""
        if session.dialect.waits_for_verification:
            seconds = needed.expires / 1000 - self._auth_clock.earliest()
            session.hold(PendingVerification(request, needed.ticket, self._clock() + seconds))
        else:
            await self._requests.send(session.connection, SendVerification(needed.ticket))

    async def mail(self, connection: Connection) -> NoPendingVerification | VerificationMailed:
        """Send the mail for the pending verification. Raises RequestError."""
        pending = connection.pending_verification
        if pending is None:
            return NoPendingVerification()
        await self._requests.send(connection, SendVerification(pending.ticket))
        return VerificationMailed()

    def opened(self, client: Client, ticket: str, passed: bool) -> None:
        """The mailed link was opened. If it was the right link, perform the held request now."""
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
