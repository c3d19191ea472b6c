"""Verification of e-mail addresses (v2: 13, 14, 15): a request is held until its mailed link was opened, and is then
repeated."""

from dataclasses import dataclass

from services.auth import verifiers
from services.auth.domain import VerificationSubject
from services.auth.metrics import AuthMetrics
from services.auth.service.ports import PasswordHashing
from services.auth.store import verifications
from services.auth.store.requests import once
from services.auth.store.verifications import PassedTicket, Ticket
from shared.addresses import network
from shared.clock import now_ms
from shared.contract.auth import Login, Register, VerificationNeeded
from shared.transactions import Transactions


@dataclass(frozen=True, kw_only=True)
class EmailVerification:
    """A passed ticket can be consumed once until it expires: by the connection whose request it holds, which names it,
    or by an attempt that has the same secret. So nobody uses a link that was opened for somebody else's request."""

    database: Transactions
    passwords: PasswordHashing
    life_seconds: float
    """Of a ticket."""
    after_failed_logins: int
    """From so many on (0: never), the login of an account with an e-mail address needs a verification, too."""
    metrics: AuthMetrics

    async def create_ticket(self, subject: VerificationSubject, request: Register | Login) -> VerificationNeeded:
        """A ticket for a request that must be verified; the named one if it is still pending. Raises RequestError
        (`unavailable`)."""
        [secret] = await self.passwords.hash([verifiers.secret_text(request.secret)])
        now = now_ms()
        ticket = await self.database.write(
            once(verifications.create, Ticket, part="ticket"),
            request.ticket,
            subject,
            request.origin,
            secret,
            now,
            now + int(self.life_seconds * 1000),
        )
        self.metrics.verifications.labels("withheld").inc()
        return VerificationNeeded(ticket.ticket, ticket.expires)

    async def has_passed(self, subject: VerificationSubject, ticket: str) -> bool:
        return any(passed.ticket == ticket for passed in await self._list_passed(subject))

    async def find_passed(self, subject: VerificationSubject, request: Register | Login) -> str:
        """The ticket that this request may consume; empty: none. Costs up to one hash for each passed ticket, so limit
        the rate of requests that name none. Raises RequestError (`unavailable`)."""
        found = await self._list_passed(subject)
        if any(passed.ticket == request.ticket for passed in found):
            return request.ticket
        text = verifiers.secret_text(request.secret)
        for passed in found:
            if _may_match(passed, request) and await self.passwords.verify(passed.secret, text):
                return passed.ticket
        return ""

    async def consume(self, subject: VerificationSubject, ticket: str) -> bool:
        """False: it is consumed or has expired."""
        return await self.database.write(verifications.consume, subject, ticket, now_ms()) is not None

    async def _list_passed(self, subject: VerificationSubject) -> list[PassedTicket]:
        return await self.database.read(verifications.list_passed, subject, now_ms())


def _may_match(passed: PassedTicket, request: Register | Login) -> bool:
    """A login also needs the device that the user has confirmed: somebody else may know the account's secret."""
    if not passed.secret:
        return False
    if passed.requester.purpose == "register":
        return True
    return (network(passed.requester.address), passed.requester.client) == (
        network(request.origin.address),
        request.origin.client,
    )
