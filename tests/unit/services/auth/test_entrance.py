"""What a guesser meets: limits, equal work for every answer, hashes that grow, accounts that go meanwhile."""

import asyncio
import time
import urllib.request
from pathlib import Path

import pytest
import sqlalchemy as sa
from argon2 import extract_parameters
from prometheus_client.parser import text_string_to_metric_families

from services.auth.tables import secrets
from services.cli.ports import free_port
from shared import settings as given
from shared.contract.auth import Authenticated, DeleteAccount, IdentifierKind, ListRevocations, Origin
from shared.contract.edge import Revoked
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NodeId
from shared.contract.model import Scheme, Secret
from shared.contract.subjects import DELETE_ACCOUNT, LIST_REVOCATIONS
from shared.database import make_engine
from tests.support.servers import ValkeyServer
from tests.unit.services.auth.conftest import MakeWorld, cheap_auth
from tests.unit.services.auth.gate import Gate
from tests.unit.services.auth.service.test_accounts import refusal
from tests.unit.services.auth.world import Edge, World

ELSEWHERE = Origin(NodeId("edge-2"), 1, "198.51.100.1")


@pytest.fixture
def limited(make_world: MakeWorld, sqlite_url: str) -> World:
    """Limits as they are by default."""
    return make_world(sqlite_url, limits=given.Limits())


async def codes(edge: Edge, name: str, passwords: list[str], origin: Origin) -> list[ErrorCode]:
    return [(await refusal(edge.login(name, word, origin=origin))).failure.code for word in passwords]


async def test_a_guesser_is_limited_and_learns_nothing_from_it(limited: World) -> None:
    limited.auth()
    limited.auth()
    edge = await limited.edge()
    await edge.register("ann@example.org")
    tries = ["wrong"] * 5 + ["secret"] * 2
    known = await codes(edge, "ann@example.org", tries, ELSEWHERE)
    assert known == [ErrorCode.UNAUTHENTICATED] * 5 + [ErrorCode.RATE_LIMITED] * 2
    assert await codes(edge, "nobody@example.org", tries, ELSEWHERE) == known
    assert isinstance(await edge.login("ann@example.org"), Authenticated)


async def test_an_address_registers_five_accounts_a_minute(limited: World) -> None:
    limited.auth()
    edge = await limited.edge()
    for number in range(5):
        await edge.register(f"u{number}@example.org", origin=ELSEWHERE)
    sixth = edge.register("u6@example.org", origin=ELSEWHERE)
    assert (await refusal(sixth)).failure.code == ErrorCode.RATE_LIMITED
    assert isinstance(await edge.register("u6@example.org"), Authenticated)


async def test_limits_hold_while_redis_is_away(limited: World, valkey_server: ValkeyServer) -> None:
    limited.auth()
    edge = await limited.edge()
    await edge.register("ann@example.org")
    valkey_server.kill()
    got = await codes(edge, "ann@example.org", ["wrong"] * 6, ELSEWHERE)
    assert got == [ErrorCode.UNAUTHENTICATED] * 5 + [ErrorCode.RATE_LIMITED]
    assert isinstance(await edge.login("ann@example.org"), Authenticated)


async def test_every_answer_costs_one_hash(make_world: MakeWorld, sqlite_url: str) -> None:
    world = make_world(sqlite_url, ops=given.Ops(port=free_port()))
    world.auth()
    edge = await world.edge()
    await edge.register("ann@example.org", secret=Secret(Scheme.SHA256, "a" * 64))
    wrong = [
        edge.login("ann@example.org", "wrong"),
        edge.login("ann@example.org", secret=Secret(Scheme.SHA256, "b" * 64)),
        edge.login("ann@example.org", secret=Secret(Scheme.MD5, "a" * 32)),
        edge.login("ann@example.org", secret=Secret(Scheme.SERVICE, "a" * 64)),
        edge.login("nobody@example.org", "wrong"),
        edge.login("nobody", kind=IdentifierKind.ANY),
        edge.login("99999999999999999999", kind=IdentifierKind.ID),
    ]
    for login in wrong:
        before = await metric(world, "dragoman_auth_hash_seconds_count")
        assert (await refusal(login)).failure.code == ErrorCode.UNAUTHENTICATED
        assert await metric(world, "dragoman_auth_hash_seconds_count") == before + 1
    assert await metric(world, "dragoman_auth_logins_total", result="unauthenticated") == len(wrong)
    assert await metric(world, "dragoman_auth_registrations_total", result="ok") == 1


async def metric(world: World, name: str, **labels: str) -> float:
    text = await asyncio.to_thread(_fetch, f"http://127.0.0.1:{world.settings.ops.port}/metrics")
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return next(sample.value for sample in samples if sample.name == name and sample.labels == labels)


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310
        return str(response.read().decode())


async def test_hashes_grow_with_the_settings_at_the_next_login(
    make_world: MakeWorld, sqlite_url: str, tmp_path: Path
) -> None:
    world = make_world(sqlite_url)
    world.auth()
    edge = await world.edge()
    await edge.register("ann@example.org")
    await world.stop_auth()
    dear = cheap_auth(tmp_path / "keys").model_copy(update={"argon2_memory_kib": 32, "argon2_iterations": 2})
    stronger = make_world(sqlite_url, auth=dear)
    stronger.auth()
    for _ in range(2):
        await refusal(edge.login("ann@example.org", "wrong"))
        assert isinstance(await edge.login("ann@example.org"), Authenticated)
    engine = make_engine(sqlite_url)
    with engine.connect() as connection:
        held = {row.scheme: extract_parameters(row.verifier) for row in connection.execute(sa.select(secrets))}
    engine.dispose()
    memory = {scheme: parameters.memory_cost for scheme, parameters in held.items()}
    assert memory == {Scheme.PLAIN: 32, Scheme.MD5: 8, Scheme.SHA256: 8}
    assert held[Scheme.PLAIN].time_cost == 2


async def test_an_account_deleted_during_a_login_is_not_entered(
    make_world: MakeWorld, sqlite_url: str, gate: Gate
) -> None:
    world = make_world(sqlite_url)
    world.auth()
    edge, _session, _message = await world.edge(), await world.session(), await world.message()
    made = await edge.register("ann@example.org")
    gate.open.clear()
    gate.reached.clear()
    login = asyncio.create_task(edge.login("ann@example.org"))
    assert await asyncio.to_thread(gate.reached.wait, 10)
    await edge.ask(DELETE_ACCOUNT, DeleteAccount(made.account))
    await edge.hears(Revoked)
    gate.open.set()
    assert (await refusal(login)).failure.code == ErrorCode.UNAUTHENTICATED


async def test_a_storm_of_logins_leaves_the_service_answering(
    make_world: MakeWorld, sqlite_url: str, tmp_path: Path
) -> None:
    """Real hashes, more logins than the queue holds: some are refused at once, and edges go on watching."""
    world = make_world(sqlite_url, auth=given.Auth(keys=tmp_path / "keys", hash_threads=1, hash_queue=4))
    world.auth()
    edge = await world.edge()
    await edge.register("ann@example.org", secret=Secret(Scheme.SHA256, "a" * 64))
    storm = asyncio.gather(*(edge.login("ann@example.org", "wrong") for _ in range(12)), return_exceptions=True)
    waits: list[float] = []
    while not storm.done():
        started = time.monotonic()
        await edge.ask(LIST_REVOCATIONS, ListRevocations())
        waits.append(time.monotonic() - started)
    answers = [answer.failure.code for answer in await storm if isinstance(answer, RequestError)]
    assert (answers.count(ErrorCode.UNAUTHENTICATED), answers.count(ErrorCode.UNAVAILABLE)) == (5, 7)
    assert len(waits) > 5
    assert sorted(waits)[len(waits) // 2] < 0.05
