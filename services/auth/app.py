"""Wires the auth service, starts it and stops it in order.

Ready means that NATS answers and stores events, and that the database commits. Redis is not required: without it each
process counts limits alone.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from services.auth.adapters import housekeeping
from services.auth.adapters.auth_callout import AuthCallout
from services.auth.adapters.edge_notifier import NodeNotifier, announce_state
from services.auth.adapters.mailer import Mailer, recovery_mail, verification_mail
from services.auth.adapters.outbox_relay import OutboxRelay
from services.auth.adapters.passwords import Argon2Hasher, common_passwords
from services.auth.adapters.signing_keys import SigningKeys
from services.auth.adapters.sliding_window import SlidingWindow
from services.auth.dashboard import DASHBOARD
from services.auth.metrics import AuthMetrics
from services.auth.router import AuthUseCases, route
from services.auth.service.administration import Administration
from services.auth.service.bots import Bots
from services.auth.service.deletion import AccountDeletion
from services.auth.service.directory import AccountDirectory, OwnData
from services.auth.service.login import PasswordLogin
from services.auth.service.login_limits import LoginLimiter
from services.auth.service.login_trail import LoginTrail
from services.auth.service.password_change import PasswordChange
from services.auth.service.passwords import NewPasswords, OwnSecret
from services.auth.service.recovery import MailRecovery, MailRecoveryPolicy, PasswordRecovery
from services.auth.service.refreshing import LoginRefresh
from services.auth.service.registration import Registration
from services.auth.service.revocations import TokenRevocations
from services.auth.service.sessions import LoginSessions
from services.auth.service.verification import EmailVerification, MailedLinks
from services.auth.store import CHECKED_TABLES
from services.auth.store.installation import database_state
from shared.bus.client import Bus
from shared.bus.neighbours import Neighbours
from shared.contract.permissions import AUTH_CALLOUT
from shared.database import Database, wait_until_available
from shared.migrate import require_current
from shared.ops import Check, OpsServer
from shared.process import cancel_on, tracing
from shared.redis_server import require_kind
from shared.settings import Settings
from shared.tasks import Tasks, run_beside
from shared.telemetry import log, new_registry

_log = log(__name__)
_OPS_SECONDS = 2.0
_DAY_SECONDS = 86_400


class _Adapters(NamedTuple):
    database: Database
    bus: Bus
    keys: SigningKeys
    window: SlidingWindow
    passwords: Argon2Hasher
    relay: OutboxRelay


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Runs until `stopping` is set; waits for dependencies that are not available yet. Raises StartupError without
    usable keys or tables."""
    registry = new_registry()
    metrics = AuthMetrics(registry)
    tracer = tracing(settings, "auth")
    keys = await asyncio.to_thread(SigningKeys, settings.auth)
    pool_size = settings.database.pool_size
    database = Database(
        settings.database_url("auth"), name="auth", pool_size=pool_size, registry=registry, tracer=tracer
    )
    bus = Bus(settings.nats, "auth", registry, tracer)
    window = SlidingWindow(settings.redis, metrics)
    passwords = Argon2Hasher(settings.auth, metrics)
    relay = OutboxRelay(database, bus, metrics, tracer)
    adapters = _Adapters(database, bus, keys, window, passwords, relay)
    use_cases = _use_cases(settings, adapters, metrics)
    neighbours = Neighbours(bus, "auth", partial(database.read, database_state))
    route(bus, use_cases, Mailer(settings.mail, metrics).deliver, metrics, neighbours)
    if settings.callout.key.get_secret_value():
        bus.answer_broker(AUTH_CALLOUT, AuthCallout(settings.callout).reply, queue="auth")
    checks: dict[str, Check] = {
        "nats": bus.check,
        "events": bus.check_events,
        "database": partial(database.check, CHECKED_TABLES),
    }
    ops = OpsServer(settings.ops, registry, checks, DASHBOARD, {"redis": window.check})
    tasks = Tasks()
    tasks.start(ops.run(), "operations port")
    try:
        await require_kind(settings.redis)
        await cancel_on(stopping, _start(database, bus, neighbours))
        if not stopping.is_set():
            upkeep = housekeeping.run(database, keys, settings.auth, use_cases.trail)
            announcing = announce_state(use_cases.revocations.list_revocations, bus)
            await _work(stopping, ops, bus, relay, (upkeep, announcing, neighbours.run()))
    finally:
        ops.phase = "draining"
        await bus.stop()
        await housekeeping.finish(use_cases.trail)
        await passwords.close()
        ops.stop()
        await tasks.finish(_OPS_SECONDS)  # a probe would connect to Redis again
        await window.close()
        await database.close()
        if tracer is not None:
            await tracer.shut_down()


def _use_cases(settings: Settings, adapters: _Adapters, metrics: AuthMetrics) -> AuthUseCases:
    database, bus, keys, window, passwords, relay = adapters
    notifier, login_trail = NodeNotifier(bus), LoginTrail(database)
    limits = LoginLimiter(settings.limits, window, count_failures=settings.verification.after_failed_logins > 0)
    verification = _verification(settings, adapters, metrics)
    mailed_links = _mailed_links(settings, adapters, limits, metrics)
    revocations = TokenRevocations(database=database, keys=keys, notifier=notifier, metrics=metrics)
    sessions = LoginSessions(
        database=database, tokens=keys, revocations=revocations, most=settings.auth.sessions_per_account,
        refresh_seconds=settings.auth.refresh_token_days * _DAY_SECONDS,
    )  # fmt: skip
    new_passwords = _new_passwords(settings, passwords)
    own_secret = OwnSecret(database=database, passwords=passwords, limits=limits, trail=login_trail)
    deletion = AccountDeletion(
        database=database, outbox=relay, revocations=revocations, send=bus.request, own_secret=own_secret,
        metrics=metrics,
    )  # fmt: skip
    administration = Administration(
        database=database, passwords=passwords, limits=limits, notifier=notifier, revocations=revocations,
        deletion=deletion, sessions=sessions,
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
            revocations=revocations, trail=login_trail, enabled=settings.auth.recovery,
        ),
        mail_recovery=_mail_recovery(settings, adapters, new_passwords, limits, revocations, login_trail),
        password_change=PasswordChange(
            database=database, own_secret=own_secret, new_passwords=new_passwords, revocations=revocations,
            sessions=sessions,
        ),
        sessions=sessions,
        refreshing=LoginRefresh(
            database=database, tokens=keys, revocations=revocations, life_seconds=sessions.refresh_seconds,
            grace_seconds=settings.auth.refresh_grace_seconds,
        ),
        revocations=revocations,
        deletion=deletion,
        mailed_links=mailed_links,
        administration=administration,
        directory=AccountDirectory(database=database, limits=limits),
        own_data=OwnData(database=database, limits=limits),
        trail=login_trail,
        bots=bots,
        operator_bots=replace(bots, by_operator=True),
    )  # fmt: skip


def _verification(settings: Settings, adapters: _Adapters, metrics: AuthMetrics) -> EmailVerification:
    return EmailVerification(
        database=adapters.database,
        passwords=adapters.passwords,
        life_seconds=settings.verification.time_limit_seconds,
        after_failed_logins=settings.verification.after_failed_logins,
        metrics=metrics,
    )


def _mailed_links(settings: Settings, adapters: _Adapters, limits: LoginLimiter, metrics: AuthMetrics) -> MailedLinks:
    template = partial(verification_mail, language=settings.language)
    notifier = NodeNotifier(adapters.bus)
    return MailedLinks(settings, adapters.database, adapters.relay, notifier, limits, template, metrics)


def _mail_recovery(
    settings: Settings,
    adapters: _Adapters,
    new_passwords: NewPasswords,
    limits: LoginLimiter,
    revocations: TokenRevocations,
    login_trail: LoginTrail,
) -> MailRecovery:
    return MailRecovery(
        database=adapters.database,
        new_passwords=new_passwords,
        limits=limits,
        revocations=revocations,
        trail=login_trail,
        template=partial(recovery_mail, language=settings.language),
        policy=MailRecoveryPolicy(
            life_seconds=settings.verification.time_limit_seconds,
            enabled=settings.mail.is_on and settings.auth.mail_recovery != "off",
            any_address=settings.auth.mail_recovery == "any",
        ),
    )


def _new_passwords(settings: Settings, passwords: Argon2Hasher) -> NewPasswords:
    return NewPasswords(
        hasher=passwords,
        min_characters=settings.auth.password_min_characters,
        common=common_passwords() if settings.auth.refuse_common_passwords else (),
    )


async def _start(database: Database, bus: Bus, neighbours: Neighbours) -> None:
    """Waits for the database, then for the broker. Raises NotMigrated, DatabasesApart."""
    await wait_until_available(partial(database.read, partial(require_current, "auth")))
    await bus.start(partial(wait_until_available, neighbours.compare))
    _log.info("auth serves")


async def _work(
    stopping: asyncio.Event, ops: OpsServer, bus: Bus, relay: OutboxRelay, loops: Iterable[Coroutine[Any, Any, None]]
) -> None:
    """Until `stopping` is set; then accepts no new work and publishes the committed events. If a part fails, the
    process ends, to be started again."""
    async with run_beside(loops) as group:
        group.create_task(relay.run(), name="relay")
        try:
            await cancel_on(stopping, bus.watch_workers())
            ops.phase = "draining"
            await bus.drain()
        finally:
            relay.finish()
