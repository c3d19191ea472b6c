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
from shared.contract.admin import FindUser, Kick, ListDuplicates, RecordAct, ResetPassword, SearchTrail, SetDisabled
from shared.contract.auth import (
    ChangePassword,
    DeleteAccount,
    DescribeVerification,
    EndLogin,
    FindInactive,
    GetKeys,
    ListDeletedAccounts,
    ListLogins,
    ListRevocations,
    Login,
    Logout,
    OpenVerification,
    RecordTokenLogins,
    Refresh,
    Register,
    SendVerification,
    SetMaintenance,
    VerificationNeeded,
)
from shared.contract.bots import CreateBot, CreateBotToken, CreateHookAccount, DeleteBot, DeleteBotToken, ListBots
from shared.contract.contacts import LookUpAccounts
from shared.contract.errors import RequestError
from shared.contract.events import MailRequested
from shared.contract.made import ExportLogins
from shared.contract.recovery import Recover, RecoverByTicket, RequestRecovery, SetSecurity

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
    bus.serve(Register.route, register, queue=_QUEUE, concurrency=_CONCURRENT_HASHES)
    bus.serve(Login.route, login, queue=_QUEUE, concurrency=_CONCURRENT_HASHES)
    bus.serve(Recover.route, recover, queue=_QUEUE, concurrency=_CONCURRENT_HASHES)
    bus.serve(RequestRecovery.route, use.mail_recovery.request, queue=_QUEUE)
    bus.serve(RecoverByTicket.route, recover_by_ticket, queue=_QUEUE, concurrency=_CONCURRENT_HASHES)
    bus.serve(SetSecurity.route, use.recovery.set_security, queue=_QUEUE, concurrency=_CONCURRENT_HASHES)
    bus.serve(ChangePassword.route, use.password_change.change, queue=_QUEUE, concurrency=_CONCURRENT_HASHES)
    bus.serve(Refresh.route, use.refreshing.refresh, queue=_QUEUE)
    bus.serve(ListLogins.route, use.sessions.list, queue=_QUEUE)
    bus.serve(EndLogin.route, use.sessions.end, queue=_QUEUE)
    bus.serve(ExportLogins.route, use.own_data.export, queue=_QUEUE)
    bus.serve(Logout.route, use.revocations.logout, queue=_QUEUE)
    bus.serve(DeleteAccount.route, use.deletion.delete, queue=_QUEUE)
    bus.serve(ListDeletedAccounts.route, use.deletion.list_deleted, queue=_QUEUE)
    bus.serve(SendVerification.route, use.mailed_links.send, queue=_QUEUE)
    bus.serve(OpenVerification.route, use.mailed_links.open, queue=_QUEUE)
    bus.serve(DescribeVerification.route, use.mailed_links.describe, queue=_QUEUE)
    _route_bots(bus, use, neighbours)
    bus.serve(LookUpAccounts.route, use.directory.look_up, queue=_QUEUE)
    bus.serve(FindInactive.route, use.directory.find_inactive, queue=_QUEUE)
    bus.serve(ListRevocations.route, use.revocations.list_revocations, queue=_QUEUE)
    bus.serve(GetKeys.route, use.revocations.get_keys, queue=_QUEUE)
    bus.serve(SetMaintenance.route, use.administration.set_maintenance, queue=_QUEUE)
    bus.serve(FindUser.route, use.administration.find, queue=_QUEUE)
    bus.serve(ListDuplicates.route, use.administration.list_duplicates, queue=_QUEUE)
    bus.serve(SetDisabled.route, use.administration.set_disabled, queue=_QUEUE)
    bus.serve(ResetPassword.route, use.administration.reset_password, queue=_QUEUE)
    bus.serve(Kick.route, use.administration.kick, queue=_QUEUE)
    bus.serve(on.LIST_USER_LOGINS, use.administration.list_logins, queue=_QUEUE)
    bus.serve(on.END_USER_LOGIN, use.administration.end_login, queue=_QUEUE)
    bus.serve(SearchTrail.route, use.administration.search_trail, queue=_QUEUE)
    bus.serve(RecordAct.route, use.administration.record_act, queue=_QUEUE)
    bus.serve(RecordTokenLogins.route, use.trail.record_token_logins, queue=_QUEUE, concurrency=_TRAIL_BATCHES)
    bus.serve(on.DELETE_USER, use.administration.delete, queue=_QUEUE)
    bus.consume(on.MAIL_REQUESTED, deliver_mail, pauses=_MAIL_RETRY_SECONDS)


def _route_bots(bus: Bus, use: AuthUseCases, neighbours: Neighbours) -> None:
    bus.serve(on.END_BOT_TOKENS, use.bots.end_tokens, queue=_QUEUE)
    bus.serve(CreateBot.route, neighbours.gated(use.bots.create), queue=_QUEUE)
    bus.serve(CreateHookAccount.route, neighbours.gated(use.bots.create_hook_account), queue=_QUEUE)
    bus.serve(ListBots.route, use.bots.list, queue=_QUEUE)
    bus.serve(DeleteBot.route, use.bots.delete, queue=_QUEUE)
    bus.serve(CreateBotToken.route, use.bots.create_token, queue=_QUEUE)
    bus.serve(DeleteBotToken.route, use.bots.delete_token, queue=_QUEUE)
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
