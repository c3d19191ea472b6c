"""Wires the auth service, starts it and stops it in order.

The service is ready when NATS answers and stores events, and the database commits. Redis is not required, because
without Redis each process counts for its own limits.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from services.auth.adapters import housekeeping
from services.auth.adapters.allocator import keep_freed_memory
from services.auth.adapters.auth_callout import AuthCallout
from services.auth.adapters.mailer import Mailer, recovery_mail, verification_mail
from services.auth.adapters.passwords import Argon2Hasher, CommonPasswords
from services.auth.adapters.publishing import NodeNotifier, OutboxRelay, announce_state
from services.auth.adapters.signing_keys import SigningKeys
from services.auth.adapters.sliding_window import SlidingWindow
from services.auth.dashboard import DASHBOARD
from services.auth.metrics import AuthMetrics
from services.auth.router import AuthUseCases, route
from services.auth.service.administration import Administration
from services.auth.service.bots import Bots
from services.auth.service.deletion import AccountDeletion
from services.auth.service.directory import AccountDirectory
from services.auth.service.guests import Guests
from services.auth.service.login import PasswordLogin
from services.auth.service.login_limits import LoginLimiter
from services.auth.service.login_trail import LoginTrail
from services.auth.service.password_change import PasswordChange
from services.auth.service.passwords import NewPasswords, OwnSecret
from services.auth.service.recovery import MailRecovery, PasswordRecovery, recovers_by_mail
from services.auth.service.refreshing import LoginRefresh
from services.auth.service.registration import Registration
from services.auth.service.revocations import TokenRevocations
from services.auth.service.sessions import LoginSessions
from services.auth.service.verification import EmailVerification, MailedLinks
from services.auth.store import CHECKED_TABLES, accounts
from services.auth.store.installation import database_state
from shared.bus.client import Bus
from shared.contract.auth import Entrance
from shared.contract.permissions import AUTH_CALLOUT
from shared.database import Database
from shared.database_service import DatabaseService
from shared.settings import Settings
from shared.tasks import run_beside
from shared.telemetry import log

_log = log(__name__)


class _Adapters(NamedTuple):
    database: Database
    bus: Bus
    keys: SigningKeys
    window: SlidingWindow
    passwords: Argon2Hasher
    relay: OutboxRelay


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Run the service until `stopping` is set; wait for dependencies that are not available yet. Raises StartupError if
    the keys or tables cannot be used."""
    keys = await asyncio.to_thread(SigningKeys, settings.auth)
    service = DatabaseService("auth", settings, database_state)
    database, bus, metrics = service.database, service.bus, AuthMetrics(service.registry)
    window = SlidingWindow(settings.redis, metrics)
    passwords = Argon2Hasher(settings.auth, metrics)
    keep_freed_memory()
    relay = OutboxRelay(database, bus, metrics, service.tracer)
    adapters = _Adapters(database, bus, keys, window, passwords, relay)
    use_cases = _use_cases(settings, adapters, metrics)
    mailer = Mailer(settings.mail, metrics, lambda wanted: database.read(accounts.verified_addresses, wanted))
    route(bus, use_cases, mailer.deliver, metrics, service.neighbours)
    if settings.callout.key.get_secret_value():
        bus.answer_broker(AUTH_CALLOUT, AuthCallout(settings.callout).reply, queue="auth")
    service.open_port(DASHBOARD, partial(database.check, CHECKED_TABLES), window.check)
    try:
        if await service.start(stopping):
            end_abandoned = use_cases.guests.end_abandoned
            upkeep = housekeeping.run(database, keys, settings.auth, use_cases.trail, end_abandoned, bus.check)
            announcing = announce_state(use_cases.revocations.list_revocations, bus)
            await _work(service, relay, (upkeep, announcing, service.neighbours.run()), stopping)
    finally:
        await service.stop()
        await housekeeping.finish(use_cases.trail)
        await passwords.close()
        await window.close()
        await service.close()


def _use_cases(settings: Settings, adapters: _Adapters, metrics: AuthMetrics) -> AuthUseCases:
    database, bus, keys, window, passwords, relay = adapters
    auth, verifying = settings.auth, settings.verification
    notifier, login_trail = NodeNotifier(bus), LoginTrail(database)
    limits = LoginLimiter(settings.limits, window, count_failures=verifying.after_failed_logins > 0)
    verification = EmailVerification(database=database, passwords=passwords, settings=verifying, metrics=metrics)
    template = partial(verification_mail, language=settings.language)
    mailed_links = MailedLinks(settings, database, relay, notifier, limits, template, metrics)
    by_mail = recovers_by_mail(settings)
    entrance = Entrance(verifying.registration, auth.recovery, by_mail, auth.password_min_characters)
    revocations = TokenRevocations(database=database, keys=keys, notifier=notifier, metrics=metrics, entrance=entrance)
    sessions = LoginSessions(database=database, tokens=keys, revocations=revocations, settings=auth)
    common = CommonPasswords() if auth.refuse_common_passwords else ()
    new_passwords = NewPasswords(hasher=passwords, settings=auth, common=common)
    own_secret = OwnSecret(database=database, passwords=passwords, limits=limits, trail=login_trail)
    deletion = AccountDeletion(
        database=database, outbox=relay, revocations=revocations, request=bus.request, own_secret=own_secret,
        metrics=metrics,
    )  # fmt: skip
    bots = Bots(
        settings=settings, database=database, tokens=keys, limits=limits, revocations=revocations, deletion=deletion,
        outbox=relay,
    )  # fmt: skip
    return AuthUseCases(
        registration=Registration(
            settings=settings, database=database, passwords=new_passwords, sessions=sessions, limits=limits,
            verification=verification, outbox=relay,
        ),
        login=PasswordLogin(
            database=database, passwords=passwords, sessions=sessions, limits=limits, verification=verification,
            links=mailed_links, trail=login_trail,
        ),
        recovery=PasswordRecovery(
            database=database, passwords=passwords, new_passwords=new_passwords, limits=limits,
            revocations=revocations, trail=login_trail, settings=auth,
        ),
        mail_recovery=MailRecovery(
            database=database, new_passwords=new_passwords, limits=limits, revocations=revocations, trail=login_trail,
            template=partial(recovery_mail, language=settings.language), settings=settings,
        ),
        password_change=PasswordChange(
            database=database, own_secret=own_secret, new_passwords=new_passwords, revocations=revocations,
            sessions=sessions,
        ),
        sessions=sessions,
        refreshing=LoginRefresh(database=database, tokens=keys, revocations=revocations, settings=auth),
        revocations=revocations,
        deletion=deletion,
        mailed_links=mailed_links,
        administration=Administration(
            database=database, passwords=passwords, limits=limits, notifier=notifier, revocations=revocations,
            deletion=deletion, sessions=sessions,
        ),
        directory=AccountDirectory(database=database, limits=limits),
        trail=login_trail,
        bots=bots,
        operator_bots=replace(bots, by_operator=True),
        guests=Guests(settings=settings, database=database, sessions=sessions, limits=limits, deletion=deletion),
    )  # fmt: skip


async def _work(
    service: DatabaseService, relay: OutboxRelay, loops: Iterable[Coroutine[Any, Any, None]], stopping: asyncio.Event
) -> None:
    """Work until `stopping` is set, then publish the committed events."""
    async with run_beside(loops) as group:
        group.create_task(relay.run(), name="relay")
        try:
            await service.work(stopping)
        finally:
            relay.finish()
