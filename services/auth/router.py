"""Subject → use case."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import Counter

from services.auth.metrics import AuthMetrics
from services.auth.service.administration import Administration
from services.auth.service.bots import Bots
from services.auth.service.deletion import AccountDeletion
from services.auth.service.directory import AccountDirectory
from services.auth.service.login import PasswordLogin
from services.auth.service.login_trail import LoginTrail
from services.auth.service.mail_recovery import MailRecovery
from services.auth.service.mailed_links import MailedLinks
from services.auth.service.own_data import OwnData
from services.auth.service.password_change import PasswordChange
from services.auth.service.recovery import PasswordRecovery
from services.auth.service.refreshing import LoginRefresh
from services.auth.service.registration import Registration
from services.auth.service.revocations import TokenRevocations
from services.auth.service.sessions import LoginSessions
from shared.bus.client import Bus
from shared.bus.neighbours import Neighbours
from shared.contract import subjects as on
from shared.contract.auth import VerificationNeeded
from shared.contract.errors import RequestError
from shared.contract.events import MailRequested

Q = TypeVar("Q")
R = TypeVar("R")

_QUEUE = "auth"
_CONCURRENT_HASHES = 2048
"""Requests that compute a hash, at once: most of them wait in the bounded hash queue, or for a delay."""
_TRAIL_BATCHES = 1
"""Batches of logins by token, at once: entries of the audit trail have time."""
_MAIL_RETRY_SECONDS = (0.5, 1, 2, 5, 10, *[30] * 20)
"""About 10 minutes, as long as a verification is valid by default."""


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
    own_data: OwnData
    bots: Bots
    operator_bots: Bots
    trail: LoginTrail


def route(
    bus: Bus,
    use: AuthUseCases,
    deliver_mail: Callable[[MailRequested], Awaitable[None]],
    metrics: AuthMetrics,
    neighbours: Neighbours,
) -> None:
    register = _counted(metrics.registrations, neighbours.gated(use.registration.register))
    login = _counted(metrics.logins, use.login.login)
    recover = _counted(metrics.recoveries, use.recovery.recover)
    recover_by_ticket = _counted(metrics.recoveries, use.mail_recovery.recover)
    bus.serve(on.REGISTER, register, queue=_QUEUE, concurrency=_CONCURRENT_HASHES)
    bus.serve(on.LOGIN, login, queue=_QUEUE, concurrency=_CONCURRENT_HASHES)
    bus.serve(on.RECOVER, recover, queue=_QUEUE, concurrency=_CONCURRENT_HASHES)
    bus.serve(on.REQUEST_RECOVERY, use.mail_recovery.request, queue=_QUEUE)
    bus.serve(on.RECOVER_BY_TICKET, recover_by_ticket, queue=_QUEUE, concurrency=_CONCURRENT_HASHES)
    bus.serve(on.SET_SECURITY, use.recovery.set_security, queue=_QUEUE, concurrency=_CONCURRENT_HASHES)
    bus.serve(on.CHANGE_PASSWORD, use.password_change.change, queue=_QUEUE, concurrency=_CONCURRENT_HASHES)
    bus.serve(on.REFRESH, use.refreshing.refresh, queue=_QUEUE)
    bus.serve(on.LIST_LOGINS, use.sessions.list, queue=_QUEUE)
    bus.serve(on.END_LOGIN, use.sessions.end, queue=_QUEUE)
    bus.serve(on.EXPORT_LOGINS, use.own_data.export, queue=_QUEUE)
    bus.serve(on.LOGOUT, use.revocations.logout, queue=_QUEUE)
    bus.serve(on.DELETE_ACCOUNT, use.deletion.delete, queue=_QUEUE)
    bus.serve(on.LIST_DELETED_ACCOUNTS, use.deletion.list_deleted, queue=_QUEUE)
    bus.serve(on.SEND_VERIFICATION, use.mailed_links.send, queue=_QUEUE)
    bus.serve(on.OPEN_VERIFICATION, use.mailed_links.open, queue=_QUEUE)
    bus.serve(on.DESCRIBE_VERIFICATION, use.mailed_links.describe, queue=_QUEUE)
    _route_bots(bus, use, neighbours)
    bus.serve(on.LOOK_UP_ACCOUNTS, use.directory.look_up, queue=_QUEUE)
    bus.serve(on.FIND_INACTIVE, use.directory.find_inactive, queue=_QUEUE)
    bus.serve(on.LIST_REVOCATIONS, use.revocations.list_revocations, queue=_QUEUE)
    bus.serve(on.GET_KEYS, use.revocations.get_keys, queue=_QUEUE)
    bus.serve(on.SET_MAINTENANCE, use.administration.set_maintenance, queue=_QUEUE)
    bus.serve(on.FIND_USER, use.administration.find, queue=_QUEUE)
    bus.serve(on.LIST_DUPLICATES, use.administration.list_duplicates, queue=_QUEUE)
    bus.serve(on.SET_DISABLED, use.administration.set_disabled, queue=_QUEUE)
    bus.serve(on.RESET_PASSWORD, use.administration.reset_password, queue=_QUEUE)
    bus.serve(on.KICK, use.administration.kick, queue=_QUEUE)
    bus.serve(on.LIST_USER_LOGINS, use.administration.list_logins, queue=_QUEUE)
    bus.serve(on.END_USER_LOGIN, use.administration.end_login, queue=_QUEUE)
    bus.serve(on.SEARCH_TRAIL, use.administration.search_trail, queue=_QUEUE)
    bus.serve(on.RECORD_ACT, use.administration.record_act, queue=_QUEUE)
    bus.serve(on.RECORD_TOKEN_LOGINS, use.trail.record_token_logins, queue=_QUEUE, concurrency=_TRAIL_BATCHES)
    bus.serve(on.DELETE_USER, use.administration.delete, queue=_QUEUE)
    bus.consume(on.MAIL_REQUESTED, deliver_mail, pauses=_MAIL_RETRY_SECONDS)


def _route_bots(bus: Bus, use: AuthUseCases, neighbours: Neighbours) -> None:
    bus.serve(on.END_BOT_TOKENS, use.bots.end_tokens, queue=_QUEUE)
    bus.serve(on.CREATE_BOT, neighbours.gated(use.bots.create), queue=_QUEUE)
    bus.serve(on.CREATE_HOOK_ACCOUNT, neighbours.gated(use.bots.create_hook_account), queue=_QUEUE)
    bus.serve(on.LIST_BOTS, use.bots.list, queue=_QUEUE)
    bus.serve(on.DELETE_BOT, use.bots.delete, queue=_QUEUE)
    bus.serve(on.CREATE_BOT_TOKEN, use.bots.create_token, queue=_QUEUE)
    bus.serve(on.DELETE_BOT_TOKEN, use.bots.delete_token, queue=_QUEUE)
    bus.serve(on.CREATE_OPERATOR_BOT, neighbours.gated(use.operator_bots.create), queue=_QUEUE)
    bus.serve(on.LIST_ALL_BOTS, use.operator_bots.list, queue=_QUEUE)
    bus.serve(on.CREATE_ANY_BOT_TOKEN, use.operator_bots.create_token, queue=_QUEUE)
    bus.serve(on.DELETE_ANY_BOT_TOKEN, use.operator_bots.delete_token, queue=_QUEUE)


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
