"""Checks that Valkey, the databases, the mail server and the bucket can be reached and used, and that their clocks are
right."""

import asyncio
import smtplib
import time
from pathlib import Path

import sqlalchemy as sa
from redis import asyncio as aioredis
from redis.exceptions import NoPermissionError, RedisError
from sqlalchemy.exc import SQLAlchemyError

from local.installation import Server
from local.settings_table import show
from services.auth import store as auth_store
from services.auth.adapters import mail_transport
from services.cli.databases import check_together
from services.cli.doctor import remedies
from services.cli.doctor.finding import Finding, failed, ok
from services.edge.media.bucket import BucketStore
from services.message import store as message_store
from services.session import store as session_store
from shared.database import find_lock_holders, make_engine, prove_writable
from shared.errors import StartupError
from shared.installation import DatabasesApart
from shared.redis_server import SINGLE, describe_kind, redis_client, server_kind
from shared.schema import require_current
from shared.settings import Settings
from shared.settings.accounts import MailSettings
from shared.settings.messages import MediaSettings
from shared.settings.servers import RedisSettings

_SECONDS = 5.0
_MOST_SKEW_SECONDS = 0.5
"""The largest accepted difference between two clocks. Messages have the time of the machine that has stored them."""
_CHECKED_TABLES = {
    "auth": auth_store.CHECKED_TABLES,
    "session": session_store.CHECKED_TABLES,
    "message": message_store.CHECKED_TABLES,
}
_LOAD_USERS = "let the server load the users that `dragoman secrets` writes (aclfile)"
_HEALTH_SLOT = 0


async def valkey(user: str, settings: RedisSettings, server: Server) -> list[Finding]:
    """Log in to Valkey as one user, and check what this user may do. Only auth's user has the permission to read the
    clock. `server`: who runs the Valkey server."""
    what, where = f"valkey {user}".strip(), show(settings.url)
    try:
        client = redis_client(settings.model_copy(update={"timeout_seconds": _SECONDS}), decode_responses=True)
    except StartupError as error:
        return [failed(what, str(error), "set redis.url")]
    try:
        await client.ping()
        if (kind := await server_kind(client)) != SINGLE:
            return [
                failed(
                    what,
                    f"{where} leads to a server of the kind {kind}, which is not supported",
                    ". ".join(describe_kind(kind)),
                )
            ]
        findings = [await _restricted(client, what, where, server)]
        return findings + ([await _valkey_clock(client)] if user == "auth" else [])
    except (RedisError, OSError) as error:
        remedy = remedies.start(server, "redis.url with its user and password")
        return [failed(what, f"{where} does not answer ({error})", remedy)]
    finally:
        await client.aclose()


async def _restricted(client: "aioredis.Redis", what: str, where: str, server: Server) -> Finding:
    try:
        await client.echo("anything")
    except NoPermissionError:
        return ok(what, f"{where}: this user has exactly its own permissions")
    return failed(what, f"this user may do anything at {where}", remedies.renew_users(server, _LOAD_USERS))


async def _valkey_clock(client: "aioredis.Redis") -> Finding:
    before = time.time()
    seconds, microseconds = await client.time()
    return _clock("valkey", seconds + microseconds / 1e6, before, time.time())


def together(settings: Settings) -> list[Finding]:
    """Check that all readable databases belong together."""
    try:
        check_together(settings)
    except DatabasesApart as error:
        return [Finding("databases", False, str(error))]
    return [ok("databases", "all readable databases belong together")]


def database(service: str, settings: Settings) -> list[Finding]:
    """Check that a database can be reached, is migrated and can be written. For PostgreSQL, also check the clock."""
    what, url = f"database {service}", settings.database_url(service)
    shown = show(url)
    try:
        engine = make_engine(url, name="doctor")
    except StartupError as error:
        return [failed(what, str(error), "set database.url")]
    if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").is_file():
        return [failed(what, f"{shown} does not exist", "run `dragoman migrate`, or set database.url")]
    try:
        with engine.connect() as connection:
            require_current(service, connection)
            clock = _database_clock(service, connection)
            holders = find_lock_holders(connection, _CHECKED_TABLES[service])
        if holders:
            return [failed(what, f"{shown}: {'; '.join(map(str, holders))}", remedies.end_sessions(holders)), *clock]
        with engine.begin() as connection:
            prove_writable(connection, _HEALTH_SLOT, _CHECKED_TABLES[service])
    except StartupError as error:
        return [failed(what, shown, str(error))]
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().partition("\n")[0]
        return [failed(what, f"{shown} cannot be used ({reason})", remedies.use_database(engine.url, reason))]
    finally:
        engine.dispose()
    return [ok(what, f"{shown}, migrated and writable"), *clock]


def _database_clock(service: str, connection: sa.Connection) -> list[Finding]:
    if connection.dialect.name == "sqlite":
        return []
    before = time.time()
    there = float(connection.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
    return [_clock(f"database {service}", there, before, time.time())]


def _clock(server: str, there: float, before: float, after: float) -> Finding:
    """Compares the clock of a server with the clock of this machine. `there`: the time of the server, which was read
    between `before` and `after` (Unix seconds)."""
    skew = max(before - there, there - after, 0.0)
    what = f"clock of {server}"
    if skew > _MOST_SKEW_SECONDS:
        return failed(what, f"is {skew:.1f} s off", "let NTP set the clocks of all machines")
    return ok(what, f"within {_MOST_SKEW_SECONDS} s of this machine's")


async def mail_server(settings: MailSettings) -> list[Finding]:
    where = f"{settings.smtp_host}:{settings.smtp_port}"
    try:
        await asyncio.to_thread(mail_transport.check, settings)
    except (OSError, smtplib.SMTPException) as error:
        reason = f"{type(error).__name__} {getattr(error, 'smtp_code', '') or getattr(error, 'strerror', '') or ''}"
        return [failed("mail", f"{where} does not accept mail ({reason.strip()})", "start it, or set mail.smtp_…")]
    return [ok("mail", f"{where} accepts the connection")]


async def bucket(settings: MediaSettings) -> list[Finding]:
    try:
        await BucketStore(settings).load("records/doctor")
    except OSError as error:
        return [
            failed("bucket", f"{settings.bucket_url} cannot be read ({error})", "see media.… and the key's permissions")
        ]
    return [ok("bucket", f"{settings.bucket_url} can be read")]
