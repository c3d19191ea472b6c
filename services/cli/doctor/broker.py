"""NATS: is it there, does it let each user in, and say what is its own and nothing else?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import nats.errors
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from services.cli.doctor.finding import Finding, failed, ok, unknown
from services.cli.embedded.nats import SETUP
from services.cli.settings_table import without_password
from shared.contract.permissions import BUS_USERS
from shared.contract.subjects import DEAD_LETTERS, STREAM, durable
from shared.settings import Nats

_SECONDS = 5.0
_UNGRANTED = "doctor.subject.of.nobody"
_EXPIRED = {"Deadline": "0"}
"""What is past its deadline is dropped unread: asking so finds out whether one may ask, and nothing else."""
_RENEW_GRANTS = "write its users anew with `dragoman secrets`, and reload nats-server"


async def check(settings: Nats) -> list[Finding]:
    """As one user sees it."""
    what = f"nats {settings.user}".strip()
    errors: list[str] = []
    try:
        async with asyncio.timeout(_SECONDS), _connected(settings, errors) as client:
            await _try_rights(client, settings.user)
            found = [_rights(what, settings, errors)]
            if settings.user == SETUP:
                found.append(await _streams(client))
            return found
    except TimeoutError:
        return [failed(what, f"{without_password(settings.url)} does not answer", "start it, or set nats.url")]
    except (OSError, nats.errors.Error) as error:
        advice = "start it, or set nats.url, nats.user and nats.password"
        return [failed(what, f"{without_password(settings.url)} lets nobody in ({errors or error})", advice)]


@asynccontextmanager
async def _connected(settings: Nats, errors: list[str]) -> AsyncIterator[Client]:
    async def note(error: Exception) -> None:
        errors.append(str(error) or type(error).__name__)

    client = await nats.connect(
        settings.url.split(","),
        user=settings.user or None,
        password=settings.password.get_secret_value() or None,
        inbox_prefix=f"inbox.{settings.user or 'doctor'}",
        allow_reconnect=False,
        error_cb=note,
    )
    try:
        yield client
    finally:
        await client.close()


async def _try_rights(client: Client, user: str) -> None:
    peer = BUS_USERS.get(user)
    for route in peer.requests if peer else ():
        await client.publish(route.subject.replace("*", "doctor"), b"", headers=_EXPIRED)
    await client.publish(_UNGRANTED, b"")
    for _ in range(2):  # the first ping overtakes what waits to be sent
        await client.flush()


def _rights(what: str, settings: Nats, errors: list[str]) -> Finding:
    where = without_password(settings.url)
    refused = [error.split('"')[1] for error in errors if "permissions violation" in error.lower()]
    if missing := [subject for subject in refused if subject != _UNGRANTED]:
        return failed(what, f"may not say {', '.join(missing)} at {where}", _RENEW_GRANTS)
    if not refused:
        return failed(what, f"may say anything at {where}", f"give it its own rights: {_RENEW_GRANTS}")
    return ok(what, f"{where}, with its own rights and no other")


async def _streams(client: Client) -> Finding:
    stream = client.jetstream(timeout=_SECONDS)
    try:
        await stream.stream_info(DEAD_LETTERS)
        for service, peer in BUS_USERS.items():
            for topic in peer.consumes:
                await stream.consumer_info(STREAM, durable(service, topic))
        return ok("streams", "all are there")
    except NotFoundError:
        return failed("streams", "some are missing", "run `dragoman migrate`")


def unknown_streams() -> Finding:
    return unknown("streams", f"only the NATS user {SETUP} may look: repeat this with the settings of `migrate`")
