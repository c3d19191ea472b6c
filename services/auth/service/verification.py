"""Verification by e-mail (v2: 13, 14, 15): a request is withheld until a mailed link is opened, and then repeated."""

import hashlib
import re
from functools import partial
from secrets import token_hex

from services.auth.adapters import mail_templates
from services.auth.adapters.edge_notifier import NodeNotifier
from services.auth.adapters.outbox_relay import OutboxRelay
from services.auth.domain import VerificationSubject, check_opaque, check_origin
from services.auth.metrics import AuthMetrics
from services.auth.service.login_limits import LoginLimiter
from services.auth.store import verifications
from services.auth.store.verifications import LinkResult, TooManyMails
from shared.clock import now_ms
from shared.contract.auth import Opened, OpenVerification, Origin, SendVerification, VerificationNeeded
from shared.contract.edge import VerificationOpened
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.session import Ack
from shared.database import Database

_BASE_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]{1,300}")


class EmailVerification:
    """A passed verification counts until it expires, also for the next attempt on another connection; once. Links lead
    to `public_url`; when it is empty, to where the client has dialled."""

    def __init__(
        self,
        time_limit_seconds: float,
        public_url: str,
        database: Database,
        relay: OutboxRelay,
        notices: NodeNotifier,
        limits: LoginLimiter,
        metrics: AuthMetrics,
    ) -> None:
        self._time_limit_ms = int(time_limit_seconds * 1000)
        self._public_url = public_url
        self._database = database
        self._relay = relay
        self._notices = notices
        self._limits = limits
        self._metrics = metrics

    async def create_ticket(self, holder: VerificationSubject, origin: Origin, ticket: str) -> VerificationNeeded:
        """The ticket of a request that must wait; the one it named, if that still waits."""
        now = now_ms()
        step = partial(
            verifications.create, named=ticket, holder=holder, origin=origin, now=now, expires=now + self._time_limit_ms
        )
        waiting = await self._database.write(step)
        self._metrics.verifications.labels("withheld").inc()
        return VerificationNeeded(waiting.ticket, waiting.expires)

    async def has_passed(self, holder: VerificationSubject) -> bool:
        return await self._database.read(partial(verifications.has_passed, holder=holder, now=now_ms()))

    async def consume(self, holder: VerificationSubject, ticket: str) -> bool:
        """Use up a passed verification, if there is one."""
        return await self._database.write(partial(verifications.consume, holder=holder, ticket=ticket, now=now_ms()))

    async def send(self, request: SendVerification) -> Ack:
        """Mail the link. A later mail's code replaces the earlier one's."""
        check_opaque(request.ticket, "ticket")
        check_origin(request.origin)
        if not _BASE_URL.fullmatch(request.base_url):
            raise RequestError(ErrorCode.INVALID, "base_url is not acceptable", "base_url")
        await self._limits.mail(request.origin.address)
        code = token_hex(16)
        base_url = self._public_url or request.base_url
        letter = partial(mail_templates.verification, link=f"{base_url}/verify/{request.ticket}.{code}")
        step = partial(
            verifications.request_mail,
            ticket=request.ticket,
            origin=request.origin,
            code=_digest(code),
            letter=letter,
            now=now_ms(),
        )
        try:
            found = await self._database.write(step)
        except TooManyMails as error:
            raise RequestError(ErrorCode.RATE_LIMITED, "enough mails were sent, please look for them") from error
        if not found:
            raise RequestError(ErrorCode.NOT_FOUND, "there is nothing to verify", "ticket")
        self._relay.wake()
        self._metrics.verifications.labels("mailed").inc()
        return Ack()

    async def open(self, request: OpenVerification) -> Opened:
        """The link was opened; the connection that waits for it is told."""
        check_opaque(request.ticket, "ticket")
        check_opaque(request.code, "code")
        step = partial(verifications.open_link, ticket=request.ticket, code=_digest(request.code), now=now_ms())
        opening = await self._database.write(step)
        self._metrics.verifications.labels(opening.result.value).inc()
        if opening.origin is not None and opening.origin.node:
            passed = opening.result is LinkResult.PASSED
            notice = VerificationOpened(request.ticket, opening.origin.connection, passed)
            await self._notices.notify_node(opening.origin.node, notice)
        return Opened(opening.result.value)


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
