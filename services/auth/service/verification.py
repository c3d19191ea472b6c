"""Verification of e-mail addresses (commands 13, 14 and 15 of v2). A request is held until the user has opened a mailed
link, and is then repeated. This module sends, describes and opens the links."""

import re
from dataclasses import dataclass
from functools import partial
from secrets import token_hex

from services.auth import verifiers
from services.auth.domain import (
    Account,
    VerificationSubject,
    check_opaque,
    check_origin,
    digest,
    may_be_offered_verification,
)
from services.auth.metrics import AuthMetrics
from services.auth.service.login_limits import LoginLimiter
from services.auth.service.ports import EdgeNotifications, EventOutbox, PasswordHashing, VerificationTemplate
from services.auth.store import verifications
from services.auth.store.requests import once, stored
from services.auth.store.verifications import (
    LinkResult,
    OpenedLink,
    PassedTicket,
    Ticket,
    TooManyMails,
    VerificationMail,
)
from shared.addresses import network
from shared.clock import now_ms
from shared.contract.auth import (
    DescribeVerification,
    Login,
    Opened,
    OpenVerification,
    Register,
    Requester,
    SendVerification,
    VerificationNeeded,
)
from shared.contract.edge import VerificationOpened
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.events import MailRequested
from shared.contract.routes import Ack
from shared.request_nonce import stored_or
from shared.settings import Settings
from shared.settings.accounts import VerificationSettings
from shared.telemetry import log
from shared.transactions import Transactions


@dataclass(frozen=True, kw_only=True)
class EmailVerification:
    """A passed ticket can be consumed once until it expires. Only the connection that names the ticket, or a request
    with the same secret, can consume it. So a link that a user has opened for one request cannot serve the request of
    another user."""

    database: Transactions
    passwords: PasswordHashing
    settings: VerificationSettings
    metrics: AuthMetrics

    async def create_ticket(self, subject: VerificationSubject, request: Register | Login) -> VerificationNeeded:
        """Returns a ticket for a request that must be verified. This is the ticket that the request names if that
        ticket is still pending, otherwise a new one. Raises RequestError (`unavailable`)."""
        [secret] = await self.passwords.hash([verifiers.secret_text(request.secret)])
        now = now_ms()
        ticket = await self.database.write(
            once(verifications.create, Ticket, part="ticket"),
            request.ticket,
            subject,
            request.origin,
            secret,
            now,
            now + int(self.settings.time_limit_seconds * 1000),
        )
        self.metrics.verifications.labels("withheld").inc()
        return VerificationNeeded(ticket.ticket, ticket.expires)

    async def has_passed(self, subject: VerificationSubject, ticket: str) -> bool:
        return any(passed.ticket == ticket for passed in await self._list_passed(subject))

    async def find_passed(self, subject: VerificationSubject, request: Register | Login) -> str:
        """The ticket that this request may consume; empty if there is none. Up to one hash is computed for each passed
        ticket, so the caller must limit the rate of requests that name no ticket. Raises RequestError
        (`unavailable`)."""
        found = await self._list_passed(subject)
        if any(passed.ticket == request.ticket for passed in found):
            return request.ticket
        text = verifiers.secret_text(request.secret)
        for passed in found:
            if _may_match(passed, request) and await self.passwords.verify(passed.secret, text):
                return passed.ticket
        return ""

    async def consume(self, subject: VerificationSubject, ticket: str) -> bool:
        """Returns False if the ticket was consumed before or has expired."""
        return await self.database.write(verifications.consume, subject, ticket, now_ms()) is not None

    async def _list_passed(self, subject: VerificationSubject) -> list[PassedTicket]:
        return await self.database.read(verifications.list_passed, subject, now_ms())


def _may_match(passed: PassedTicket, request: Register | Login) -> bool:
    """Whether the ticket can belong to this request. A login must also come from the device that the user has
    confirmed, because another person may know the account's secret."""
    if not passed.secret:
        return False
    if passed.requester.purpose == "register":
        return True
    return (network(passed.requester.address), passed.requester.client) == (
        network(request.origin.address),
        request.origin.client,
    )


_log = log(__name__)
_WEEK_MS = 7 * 86_400_000
"""The validity of a link that the user has not requested. It is a week, because the user does not look for the link at
once."""
_BASE_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]{1,300}(/[\w.~-]+){0,20}")


class MailedLinks:
    """Mails links and handles opened links. Links start with the setting edge.public_url or, if it is empty, with the
    address to which the client is connected."""

    def __init__(
        self,
        settings: Settings,
        database: Transactions,
        outbox: EventOutbox,
        notifier: EdgeNotifications,
        limits: LoginLimiter,
        template: VerificationTemplate,
        metrics: AuthMetrics,
    ) -> None:
        self._sends_mails = settings.mail.is_on
        self._offers = settings.mail.is_on and settings.auth.mail_recovery == "verified"
        self._public_url = settings.edge.public_url.rstrip("/")
        self._database = database
        self._outbox = outbox
        self._notifier = notifier
        self._limits = limits
        self._template = template
        self._metrics = metrics

    async def send(self, request: SendVerification) -> Ack:
        """Mails the link. The code in the mail replaces the code of an earlier mail. Raises RequestError: `not_found`,
        `rate_limited`, `invalid`, `forbidden`, `unavailable`."""
        check_opaque(request.ticket, "ticket")
        check_origin(request.origin)
        if not _BASE_URL.fullmatch(request.base_url):
            raise RequestError(ErrorCode.INVALID, "base_url must be an http address without a path", "base_url")
        if not self._sends_mails:
            raise RequestError(ErrorCode.FORBIDDEN, "this server sends no mails", reason=Reason.SWITCHED_OFF)
        if not await stored_or(self._database, stored(bool), partial(self._send, request)):
            raise RequestError(ErrorCode.NOT_FOUND, "there is nothing to verify", "ticket")
        self._outbox.wake()
        self._metrics.verifications.labels("mailed").inc()
        return Ack()

    async def _send(self, request: SendVerification) -> bool:
        """Returns False if there is no such ticket."""
        await self._limits.mail(request.origin.address)
        code = token_hex(16)
        base_url = self._public_url or request.base_url
        try:
            return await self._database.write(
                once(verifications.request_mail, bool),
                request.ticket,
                request.origin,
                digest(code),
                partial(self._template, link=f"{base_url}/verify/{request.ticket}.{code}"),
                now_ms(),
            )
        except TooManyMails as error:
            text = "several mails have been sent to you already, please look for them"
            raise RequestError(ErrorCode.RATE_LIMITED, text, retry_ms=max(1, error.until - now_ms())) from error

    async def offer_once(self, account: Account, request: Login) -> None:
        """Called after a login. Mails the link that verifies the account's address, unless it was mailed before or the
        address is verified. If this fails, the failure is logged, and the next login tries again."""
        base_url = self._public_url or request.base_url
        if (
            not self._offers
            or not may_be_offered_verification(account)
            or not (self._public_url or _BASE_URL.fullmatch(base_url))
        ):
            return
        code, now = token_hex(16), now_ms()

        def write_mail(mail: VerificationMail, ticket: str) -> MailRequested:
            return self._template(mail, f"{base_url}/verify/{ticket}.{code}")

        try:
            await self._limits.offer(request.origin.address)
            is_offered = await self._database.write(
                verifications.offer_once, account, request.origin, digest(code), write_mail, now, now + _WEEK_MS
            )
        except (RequestError, TooManyMails) as error:
            _log.info("the link that verifies the address was not mailed", account=account.id, reason=repr(error))
            return
        if is_offered:
            self._outbox.wake()
            self._metrics.verifications.labels("mailed").inc()

    async def describe(self, request: DescribeVerification) -> Requester:
        """Raises RequestError: `not_found`, `invalid`, `unavailable`."""
        check_opaque(request.ticket, "ticket")
        check_opaque(request.code, "code")
        if (
            requester := await self._database.read(
                verifications.find_requester, request.ticket, digest(request.code), now_ms()
            )
        ) is None:
            raise RequestError(ErrorCode.NOT_FOUND, "the link is wrong or has expired", "ticket")
        return requester

    async def open(self, request: OpenVerification) -> Opened:
        """Handles an opened link, and notifies the connection that requested the mail."""
        check_opaque(request.ticket, "ticket")
        check_opaque(request.code, "code")
        opened = await self._database.write(
            once(verifications.open_link, OpenedLink), request.ticket, digest(request.code), now_ms()
        )
        self._metrics.verifications.labels(opened.result.value).inc()
        if opened.origin is not None and opened.origin.node:
            passed = opened.result is LinkResult.PASSED
            event = VerificationOpened(request.ticket, opened.origin.connection, passed)
            await self._notifier.notify_node(opened.origin.node, event)
        return Opened(opened.result.value)
