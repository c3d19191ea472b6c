"""Logins over NATS: identifiers, secrets and limits.

Every reply needs the same work, so that its time shows nothing.
"""

import asyncio
import hashlib
import time
import unicodedata
import urllib.request
from pathlib import Path
from typing import Literal

import pytest
import sqlalchemy as sa
from argon2 import extract_parameters
from prometheus_client.parser import text_string_to_metric_families

from local.ports import free_port
from services.auth.tables import secrets
from shared.contract.auth import Authenticated, DeleteAccount, IdentifierKind, ListRevocations, Origin
from shared.contract.edge import Revoked
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.model import Scheme, Secret
from shared.database import open_engine
from shared.settings.accounts import AuthSettings
from shared.settings.servers import OpsSettings
from tests.unit.services.auth.blocking_hasher import BlockingHasher
from tests.unit.services.auth.cluster import (
    ELSEWHERE,
    AuthCluster,
    EdgeProbe,
    logs_in,
    plain,
    rejection,
    rejection_code,
)
from tests.unit.services.auth.conftest import MakeCluster, StartCluster, cheap_auth

Form = Literal["NFC", "NFD"]
FORMS: tuple[Form, Form] = ("NFC", "NFD")


async def test_login_by_every_identifier(edge: EdgeProbe) -> None:
    made = await edge.register(
        "Ann@example.org", username="ann", uuid="00000000-0000-4000-8000-000000000001", nickname="Ann"
    )
    names = [
        (IdentifierKind.EMAIL, "aNN@EXAMPLE.org"),
        (IdentifierKind.USERNAME, "ann"),
        (IdentifierKind.UUID, made.uuid),
        (IdentifierKind.ID, str(made.account)),
        (IdentifierKind.ID, f"{made.account:010}"),
        (IdentifierKind.ANY, "ann"),
        (IdentifierKind.ANY, "ann@example.org"),
        (IdentifierKind.ANY, f"{made.account:010}"),
    ]
    for kind, name in names:
        again = await edge.login(name, kind=kind)
        assert isinstance(again, Authenticated)
        assert (again.account, again.uuid, again.nickname) == (made.account, made.uuid, "Ann")
        assert again.sid != made.sid


async def test_a_username_takes_precedence_over_a_number(edge: EdgeProbe) -> None:
    first = await edge.register("ann@example.org")
    second = await edge.register(username=str(first.account))
    reply = await edge.login(str(first.account), kind=IdentifierKind.ANY)
    assert isinstance(reply, Authenticated)
    assert reply.account == second.account


async def test_a_username_takes_no_number_from_its_account(edge: EdgeProbe) -> None:
    first = await edge.register("ann@example.org", secret=plain("orange"))
    second = await edge.register(username=str(first.account), secret=plain("apple"))
    for word, made in (("orange", first), ("apple", second)):
        reply = await edge.login(str(first.account), word, kind=IdentifierKind.ANY)
        assert isinstance(reply, Authenticated)
        assert reply.account == made.account
    wrong = edge.login(str(first.account), "pear", kind=IdentifierKind.ANY)
    assert await rejection_code(wrong) == ErrorCode.UNAUTHENTICATED


async def test_every_failed_login_gets_the_same_reply(edge: EdgeProbe) -> None:
    await edge.register("ann@example.org")
    wrong = [
        ("ann@example.org", "wrong", IdentifierKind.EMAIL),
        ("nobody@example.org", "secret", IdentifierKind.EMAIL),
        ("999999999999", "secret", IdentifierKind.ID),
        ("9" * 200, "secret", IdentifierKind.ID),
        ("ann@example.org", "secret", IdentifierKind.USERNAME),
        ("٣", "secret", IdentifierKind.ANY),
    ]
    failures = {(await rejection(edge.login(name, word, kind=kind))).failure for name, word, kind in wrong}
    assert len(failures) == 1
    assert failures.pop().code == ErrorCode.UNAUTHENTICATED


async def test_a_plain_password_matches_every_scheme_a_hash_only_its_own(edge: EdgeProbe) -> None:
    word = b"secret"
    sha256 = Secret(Scheme.SHA256, hashlib.sha256(word).hexdigest())
    md5 = Secret(Scheme.MD5, hashlib.md5(word, usedforsecurity=False).hexdigest())
    service = Secret(Scheme.SERVICE, "secret")
    upper = Secret(Scheme.SHA256, sha256.value.upper())
    await edge.register("plain@example.org", secret=plain("secret"))
    await edge.register("hashed@example.org", secret=sha256)
    await edge.register("service@example.org", secret=service, uuid="00000000-0000-4000-8000-000000000001")
    opens = {
        "plain@example.org": [plain("secret"), sha256, md5, upper],
        "hashed@example.org": [plain("secret"), sha256, upper],
        "service@example.org": [service],
    }
    for email, accepted in opens.items():
        for secret in [plain("secret"), sha256, md5, service, upper]:
            assert await logs_in(edge, email, secret) == (secret in accepted), (email, secret)


async def login_codes(edge: EdgeProbe, name: str, passwords: list[str], origin: Origin) -> list[ErrorCode]:
    return [await rejection_code(edge.login(name, word, origin=origin)) for word in passwords]


async def test_guessing_is_limited_equally_for_known_and_unknown_accounts(limited: AuthCluster) -> None:
    limited.start_auth()
    limited.start_auth()
    edge = await limited.edge()
    await edge.register("ann@example.org")
    tries = ["wrong"] * 5 + ["secret"] * 2
    known = await login_codes(edge, "ann@example.org", tries, ELSEWHERE)
    assert known == [ErrorCode.UNAUTHENTICATED] * 5 + [ErrorCode.RATE_LIMITED] * 2
    assert await login_codes(edge, "nobody@example.org", tries, ELSEWHERE) == known
    assert isinstance(await edge.login("ann@example.org"), Authenticated)


async def test_every_login_costs_one_hash(start: StartCluster) -> None:
    cluster, edge = await start(ops=OpsSettings(port=free_port()))
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
    with_two_forms = [edge.login("ann@example.org", "mañana"), edge.login("nobody@example.org", "mañana")]
    for login in [*wrong, *with_two_forms]:
        before = await metric(cluster, "dragoman_auth_hash_seconds_count")
        assert await rejection_code(login) == ErrorCode.UNAUTHENTICATED
        hashes = await metric(cluster, "dragoman_auth_hash_seconds_count") - before
        assert hashes == (2 if login in with_two_forms else 1)
    failed = await metric(cluster, "dragoman_auth_logins_total", result="unauthenticated")
    assert failed == len(wrong) + len(with_two_forms)
    assert await metric(cluster, "dragoman_auth_registrations_total", result="ok") == 1


async def metric(cluster: AuthCluster, name: str, **labels: str) -> float:
    text = await asyncio.to_thread(_fetch, f"http://127.0.0.1:{cluster.settings.ops.port}/metrics")
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return next(sample.value for sample in samples if sample.name == name and sample.labels == labels)


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310
        return str(response.read().decode())


async def test_outdated_hashes_are_renewed_at_the_next_login(
    make_cluster: MakeCluster, start: StartCluster, sqlite_url: str, tmp_path: Path
) -> None:
    cluster, edge = await start()
    await edge.register("ann@example.org")
    await cluster.stop_auth()
    dear = cheap_auth(tmp_path / "keys").model_copy(update={"argon2_memory_kib": 32, "argon2_iterations": 2})
    stronger = make_cluster(sqlite_url, auth=dear)
    stronger.start_auth()
    for _ in range(2):
        await rejection(edge.login("ann@example.org", "wrong"))
        assert isinstance(await edge.login("ann@example.org"), Authenticated)
    with open_engine(sqlite_url) as engine, engine.connect() as connection:
        held = {row.scheme: extract_parameters(row.verifier) for row in connection.execute(sa.select(secrets))}
    memory = {scheme: parameters.memory_cost for scheme, parameters in held.items()}
    assert memory == {Scheme.PLAIN: 32, Scheme.MD5: 8, Scheme.SHA256: 8}
    assert held[Scheme.PLAIN].time_cost == 2


async def test_an_account_deleted_during_a_login_is_rejected(
    make_cluster: MakeCluster, sqlite_url: str, hasher: BlockingHasher
) -> None:
    cluster = make_cluster(sqlite_url)
    cluster.start_auth()
    edge, _session, _message = await cluster.edge(), await cluster.session(), await cluster.message()
    made = await edge.register("ann@example.org")
    hasher.open.clear()
    hasher.reached.clear()
    login = asyncio.create_task(edge.login("ann@example.org"))
    assert await asyncio.to_thread(hasher.reached.wait, 10)
    await edge.send(DeleteAccount(made.account))
    await edge.receive(Revoked)
    hasher.open.set()
    assert await rejection_code(login) == ErrorCode.UNAUTHENTICATED


async def test_a_storm_of_logins_does_not_block_other_requests(start: StartCluster, tmp_path: Path) -> None:
    """The hashes are real, and there are more logins than the queue holds.

    Some logins are rejected, and other requests are served.
    """
    _, edge = await start(auth=AuthSettings(keys=tmp_path / "keys", hash_threads=1, hash_queue=4))
    await edge.register("ann@example.org", secret=Secret(Scheme.SHA256, "a" * 64))
    storm = asyncio.gather(*(edge.login("ann@example.org", "wrong") for _ in range(12)), return_exceptions=True)
    waits: list[float] = []
    began = time.monotonic()
    while not storm.done():
        started = time.monotonic()
        await edge.send(ListRevocations())
        waits.append(time.monotonic() - started)
    seconds = time.monotonic() - began
    codes = [reply.failure.code for reply in await storm if isinstance(reply, RequestError)]
    judged, rejected = codes.count(ErrorCode.UNAUTHENTICATED), codes.count(ErrorCode.UNAVAILABLE)
    assert judged + rejected == 12
    assert min(judged - 4, rejected) > 0
    assert len(waits) > 5
    # a rejected login waits less than half of the time that a hash takes
    assert sorted(waits)[len(waits) // 2] < seconds / judged / 2


@pytest.mark.parametrize("typed", FORMS)
async def test_a_password_opens_its_account_in_any_form_of_unicode(edge: EdgeProbe, typed: Form) -> None:
    """A client that sends a digest makes it of the form that its user's system types."""
    digest = hashlib.sha256(unicodedata.normalize(typed, "mañana").encode()).hexdigest()
    await edge.register("ann@example.org", secret=Secret(Scheme.SHA256, digest))
    for form in FORMS:
        assert await logs_in(edge, "ann@example.org", plain(unicodedata.normalize(form, "mañana")))
        assert not await logs_in(edge, "ann@example.org", plain(unicodedata.normalize(form, "mañan")))


async def test_a_new_password_is_stored_in_one_form(edge: EdgeProbe) -> None:
    """The server stores the hash of one normal form.

    A client that hashes the text that its system types in this form can also log in.
    """
    await edge.register("ann@example.org", unicodedata.normalize("NFD", "mañana"))
    composed = hashlib.sha256(unicodedata.normalize("NFC", "mañana").encode()).hexdigest()
    assert await logs_in(edge, "ann@example.org", Secret(Scheme.SHA256, composed))
