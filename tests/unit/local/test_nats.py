"""nats-server grants each service exactly the subjects of this service."""

import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.aio.client import Client

from local.credentials import generate, load_or_make
from local.nats import USERS, configuration, environment
from shared.bus import nats_client
from shared.contract.permissions import BUS_USERS, publishes, subscribes
from shared.contract.subjects import STREAM, STREAMS, health
from shared.settings.servers import NatsSettings
from tests.support.servers import NatsServer

_NODE = "edge-1-abc"
_ADMINISTRATION = (
    f"$JS.API.STREAM.DELETE.{STREAM}",
    f"$JS.API.STREAM.PURGE.{STREAM}",
    f"$JS.API.CONSUMER.CREATE.{STREAM}.intruder",
    f"$JS.API.CONSUMER.DELETE.{STREAM}.session-account_deleted",
    "$SYS.REQ.SERVER.PING",
)
_SETUP_GRANTS = [
    *(f"$JS.API.STREAM.{verb}.{name}" for verb in ("CREATE", "UPDATE", "INFO") for name in STREAMS),
    *(f"$JS.API.CONSUMER.{verb}.{STREAM}.>" for verb in ("CREATE", "INFO")),
    health("setup").subject,
]


@pytest.mark.parametrize(("cores", "own"), [(1, "1"), (2, "1"), (7, "1"), (8, "2"), (64, "16")])
def test_nats_uses_a_quarter_of_the_cores_by_default(cores: int, own: str) -> None:
    assert environment({"PATH": "/bin"}, cores) == {"PATH": "/bin", "GOMAXPROCS": own}
    assert environment({"GOMAXPROCS": "3"}, cores) == {"GOMAXPROCS": "3"}


def concrete(subject: str) -> str:
    return subject.replace("edge.*", f"edge.{_NODE}").replace(">", "x")


def matches(grant: str, subject: str) -> bool:
    parts, words = grant.split("."), subject.split(".")
    for part, word in zip(parts, words, strict=False):
        if part == ">":
            return True
        if part not in ("*", word):
            return False
    return len(parts) == len(words)


EVERY_SUBJECT = sorted({concrete(one) for peer in BUS_USERS for one in publishes(peer) + subscribes(peer)})


@asynccontextmanager
async def connected(server: NatsServer, user: str, errors: list[str]) -> AsyncIterator[Client]:
    async def note(error: Exception) -> None:
        errors.append(str(error))

    settings = server.settings(user)
    client = await nats.connect(
        settings.url, user=user, password=settings.password.get_secret_value(), error_cb=note, allow_reconnect=False
    )
    try:
        yield client
    finally:
        await client.close()


async def settle(client: Client) -> None:
    """Flushes twice, because the first ping of nats-py overtakes buffered messages."""
    await client.flush()
    await client.flush()


def denied(errors: list[str], verb: str) -> set[str]:
    return {error.split('"')[1] for error in errors if f"permissions violation for {verb}" in error.lower()}


@pytest.mark.parametrize("service", [*BUS_USERS, "setup"])
async def test_user_publishes_exactly_its_subjects(nats_server: NatsServer, service: str) -> None:
    granted = publishes(service) if service in BUS_USERS else _SETUP_GRANTS
    subjects = [*EVERY_SUBJECT, *(_ADMINISTRATION if service in BUS_USERS else ("auth.login", _ADMINISTRATION[0]))]
    errors: list[str] = []
    async with connected(nats_server, service, errors) as client:
        for subject in subjects:
            await client.publish(subject, b"")
        await settle(client)
    expected = {one.lower() for one in subjects if not any(matches(grant, one) for grant in granted)}
    assert denied(errors, "publish") == expected


@pytest.mark.parametrize("service", BUS_USERS)
async def test_user_subscribes_exactly_to_its_subjects(nats_server: NatsServer, service: str) -> None:
    errors: list[str] = []
    granted = subscribes(service)
    async with connected(nats_server, service, errors) as client:
        for subject in [*EVERY_SUBJECT, ">"]:
            await client.subscribe(subject)
        await settle(client)
    expected = {one.lower() for one in [*EVERY_SUBJECT, ">"] if not any(matches(grant, one) for grant in granted)}
    assert denied(errors, "subscription") == expected


async def test_connection_without_password_is_rejected(nats_server: NatsServer) -> None:
    async def ignore(_: Exception) -> None:
        """Ignores the error here, because it is also raised."""

    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await nats_client.connect(
            NatsSettings(url=nats_server.settings("edge").url), allow_reconnect=False, error_cb=ignore
        )


def test_configuration_escapes_paths(tmp_path: Path) -> None:
    store = tmp_path / 'sp ace "quote" \\ 数据'
    assert b'sp ace \\"quote\\" \\\\ \xe6\x95\xb0' in configuration(4222, store, generate().nats)


def test_credentials_are_generated_once_completed_and_private(tmp_path: Path) -> None:
    file = tmp_path / "credentials.json"
    first = load_or_make(file)
    assert set(first.nats) == set(USERS)
    assert len(set(first.nats.values()) | set(first.valkey.values())) == len(first.nats) + len(first.valkey)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_or_make(file) == first
    file.write_text(file.read_text().replace('"setup"', '"previous"'))
    again = load_or_make(file)
    assert again.nats["edge"] == first.nats["edge"]
    assert set(again.nats) == set(USERS)
