"""Checks NATS: the server answers, accepts each NATS user, and grants each user exactly its own subjects. The streams
exist."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats.errors
from nats.aio.client import Client
from nats.js.errors import APIError, NotFoundError

from local.installation import Server
from local.nats import SETUP
from local.settings_table import without_password
from services.cli.doctor import remedies
from services.cli.doctor.finding import Finding, failed, ok, unknown
from shared.bus import nats_client
from shared.bus.nats_client import NO_JETSTREAM, UnfitServer, lacks_jetstream, require_payload
from shared.bus.node_identity import new_identity
from shared.contract.permissions import BUS_USERS, NODE_USER, node_inbox
from shared.contract.subjects import DEAD_LETTERS, STREAM, durable, health, health_inbox
from shared.settings.servers import NatsSettings

_SECONDS = 6.0
_CONNECT_SECONDS = 5
"""The time limit of a connection. It is longer than nats-server waits for the auth service."""
_PROBE_SECONDS = 2.0
_UNGRANTED = "doctor.subject.of.nobody"
_EXPIRED = {"Deadline": "0"}
"""The headers of a request whose deadline has passed. Its receiver drops it unread, so it tests the permission to
publish without side effects."""
_RENEW_GRANTS = "rewrite the users of NATS with `dragoman secrets`, and reload nats-server"


async def check(settings: NatsSettings, server: Server) -> list[Finding]:
    """Log in to NATS as one user, and check what this user may do. `server`: who runs the NATS server."""
    what = f"nats {settings.user}".strip()
    errors: list[str] = []
    try:
        async with asyncio.timeout(_SECONDS), _connected(settings, errors) as client:
            require_payload(client)
            await _try_rights(client, settings.user)
            found = [_rights(what, settings, errors, server)]
            if settings.user == SETUP:
                found.append(await _streams(client, server))
            return found
    except UnfitServer as error:
        return [failed(what, error.problem, error.remedy)]
    except TimeoutError:
        return [failed(what, f"{without_password(settings.url)} does not answer", remedies.start(server, "nats.url"))]
    except (OSError, nats.errors.Error) as error:
        if settings.user == NODE_USER:
            advice = "start auth, which admits edges (callout.key), or set nats.url and nats.password"
            return [failed(what, f"{without_password(settings.url)} rejects the node ({errors or error})", advice)]
        advice = remedies.start(server, "nats.url, nats.user and nats.password")
        return [failed(what, f"{without_password(settings.url)} rejects the connection ({errors or error})", advice)]


@asynccontextmanager
async def _connected(settings: NatsSettings, errors: list[str]) -> AsyncIterator[Client]:
    async def note(error: Exception) -> None:
        errors.append(str(error) or type(error).__name__)

    node = new_identity("doctor") if settings.user == NODE_USER else None
    client = await nats_client.connect(
        settings,
        node,
        inbox_prefix=f"inbox.{settings.user or 'doctor'}" if node is None else node_inbox(node.id),
        allow_reconnect=False,
        connect_timeout=_CONNECT_SECONDS,
        error_cb=note,
    )
    try:
        yield client
    finally:
        await client.close()


async def _try_rights(client: Client, user: str) -> None:
    peer = BUS_USERS.get("edge" if user == NODE_USER else user)
    for route in peer.requests if peer else ():
        await client.publish(route.subject.replace("*", "doctor"), b"", headers=_EXPIRED)
    await client.publish(_UNGRANTED, b"")
    for _ in range(2):  # the reply to the first ping overtakes buffered messages, so a second ping follows
        await client.flush()


def _rights(what: str, settings: NatsSettings, errors: list[str], server: Server) -> Finding:
    renew = remedies.renew_users(server, _RENEW_GRANTS)
    where = without_password(settings.url)
    rejected = [error.split('"')[1] for error in errors if "permissions violation" in error.lower()]
    if missing := [subject for subject in rejected if subject != _UNGRANTED]:
        return failed(what, f"this user may not publish {', '.join(missing)} at {where}", renew)
    if not rejected:
        return failed(what, f"this user may publish anything at {where}", f"restrict it: {renew}")
    return ok(what, f"{where}: this user has exactly its own permissions")


async def _streams(client: Client, server: Server) -> Finding:
    stream = client.jetstream(timeout=_SECONDS)
    try:
        await stream.stream_info(DEAD_LETTERS)
        for service, peer in BUS_USERS.items():
            for topic in peer.consumes:
                await stream.consumer_info(STREAM, durable(service, topic))
        await client.subscribe(health_inbox(SETUP))
        await stream.publish(health(SETUP).subject, b"", stream=STREAM, timeout=_PROBE_SECONDS)
    except NotFoundError:
        return failed("streams", "some are missing", "run `dragoman migrate`")
    except (nats.errors.TimeoutError, APIError):
        if lacks_jetstream(client):
            return failed("streams", *NO_JETSTREAM)
        return failed("streams", "no event is stored", remedies.make_room(server))
    return ok("streams", "all streams exist and store events")


def unknown_streams() -> Finding:
    return unknown("streams", f"only the NATS user {SETUP} may check them: repeat this with the settings of `migrate`")
