"""Registers each use case for the NATS subject that it serves."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from prometheus_client import Counter

from services.auth.metrics import AuthMetrics
from services.auth.service.administration import Administration
from services.auth.service.bots import Bots
from services.auth.service.deletion import AccountDeletion
from services.auth.service.directory import AccountDirectory
from services.auth.service.guests import Guests
from services.auth.service.login import PasswordLogin
from services.auth.service.login_trail import LoginTrail
from services.auth.service.password_change import PasswordChange
from services.auth.service.recovery import MailRecovery, PasswordRecovery
from services.auth.service.refreshing import LoginRefresh
from services.auth.service.registration import Registration
from services.auth.service.revocations import TokenRevocations
from services.auth.service.sessions import LoginSessions
from services.auth.service.verification import MailedLinks
from shared.bus.client import CONCURRENCY, Bus
from shared.bus.neighbours import Neighbours
from shared.bus.serving import Handler, routes_of
from shared.contract import subjects as on
from shared.contract.auth import VerificationNeeded
from shared.contract.errors import RequestError
from shared.contract.events import MailRequested
from shared.contract.routes import Route

Q = TypeVar("Q")
R = TypeVar("R")

_QUEUE = "auth"
_CONCURRENT_HASHES = 2048
"""The most requests that compute a hash at once. Most of them wait in the bounded hash queue, or for a delay."""
_TRAIL_BATCHES = 1
"""How many batches of logins by token are handled at once. One is enough, because these entries of the audit trail are
not urgent."""
_MAIL_RETRY_SECONDS = (0.5, 1, 2, 5, 10, *[30] * 20)
"""The pauses between attempts to deliver a mail. Together, they are about 10 minutes, as long as a verification is
valid by default."""
_DIGEST_RETRY_SECONDS = (*_MAIL_RETRY_SECONDS, *[300] * 12)
"""The pauses between attempts to deliver a mail about unread messages. They are an hour longer in all. They are not
longer still, because only 64 mails can wait for another attempt, and further mails wait for these."""


@dataclass(frozen=True, kw_only=True)
class AuthUseCases:
    registration: Registration
    login: PasswordLogin
    recovery: PasswordRecovery
    mail_recovery: MailRecovery
    password_change: PasswordChange
    sessions: LoginSessions
    refreshing: LoginRefresh
    revocations: TokenRevocations
    deletion: AccountDeletion
    mailed_links: MailedLinks
    administration: Administration
    directory: AccountDirectory
    bots: Bots
    operator_bots: Bots
    trail: LoginTrail
    guests: Guests

    @property
    def served(self) -> tuple[object, ...]:
        return tuple(getattr(self, one.name) for one in fields(self) if one.name != "operator_bots")


def route(
    bus: Bus,
    use: AuthUseCases,
    deliver_mail: Callable[[MailRequested], Awaitable[None]],
    metrics: AuthMetrics,
    neighbours: Neighbours,
) -> None:
    """Registers the handlers of the auth service's requests. A public method of a use case serves the route of its
    request type; the routes listed here are exceptions."""
    admin, operator = use.administration, use.operator_bots
    routes: dict[Handler, Route[Any, Any]] = {handler: route for route, handler in routes_of(*use.served)}
    routes |= {
        admin.list_logins: on.LIST_USER_LOGINS, admin.end_login: on.END_USER_LOGIN, admin.delete: on.DELETE_USER,
        use.bots.end_tokens: on.END_BOT_TOKENS, operator.list: on.LIST_ALL_BOTS,
        operator.create: on.CREATE_OPERATOR_BOT, operator.create_token: on.CREATE_ANY_BOT_TOKEN,
        operator.delete_token: on.DELETE_ANY_BOT_TOKEN,
    }  # fmt: skip
    counters: dict[Handler, Counter] = {
        use.registration.register: metrics.registrations, use.login.login: metrics.logins,
        use.recovery.recover: metrics.recoveries, use.mail_recovery.recover: metrics.recoveries,
    }  # fmt: skip
    give_numbers = (
        use.registration.register,
        use.guests.register,
        use.bots.create,
        use.bots.create_webhook_account,
        operator.create,
    )
    hashing: tuple[Handler, ...] = (*counters, use.recovery.set_security, use.password_change.change)
    concurrency = dict.fromkeys(hashing, _CONCURRENT_HASHES) | {use.trail.record_token_logins: _TRAIL_BATCHES}
    for handler, served in routes.items():
        handle = neighbours.gated(handler) if handler in give_numbers else handler
        handle = _counted(counters[handler], handle) if handler in counters else handle
        bus.serve(served, handle, queue=_QUEUE, concurrency=concurrency.get(handler, CONCURRENCY))
    bus.consume(on.MAIL_REQUESTED, deliver_mail, pauses=_MAIL_RETRY_SECONDS)
    bus.consume(on.MAIL_DIGEST, deliver_mail, pauses=_DIGEST_RETRY_SECONDS)


def _counted(counter: Counter, handler: Callable[[Q], Awaitable[R]]) -> Callable[[Q], Awaitable[R]]:
    """The handler, with its results counted by label."""

    async def handle(request: Q) -> R:
        try:
            reply = await handler(request)
        except RequestError as error:
            counter.labels(error.failure.code.value).inc()
            raise
        counter.labels("withheld" if isinstance(reply, VerificationNeeded) else "ok").inc()
        return reply

    return handle
