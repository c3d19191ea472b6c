"""Registration over the bus."""

import asyncio
import hashlib
import time
from pathlib import Path
from secrets import token_hex

from shared.contract.auth import Authenticated, GetKeys, IdentifierKind, LoginReply, Logout
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import SYSTEM_UUID, AccountId
from shared.contract.model import Scheme, Secret
from shared.contract.recovery import Recover
from shared.settings.limits import LimitsSettings
from shared.tokens import Verifier
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.auth.blocking_hasher import BlockingHasher
from tests.unit.services.auth.cluster import (
    ELSEWHERE,
    AuthCluster,
    EdgeProbe,
    plain,
    registration,
    rejection,
    rejection_code,
)
from tests.unit.services.auth.conftest import ON_BOTH, StartCluster, cheap_auth


async def test_registration_returns_a_token_that_the_public_key_verifies(edge: EdgeProbe) -> None:
    first = await edge.register("ann@example.org", nickname="Ann", signature="hi", icon_id=3)
    second = await edge.register(username="bob", nickname="Bob")
    assert first.account >= 1
    assert second.account > first.account
    assert (first.nickname, first.signature, first.icon_id) == ("Ann", "hi", 3)
    assert abs(first.created - time.time() * 1000) < 60_000

    claims = Verifier(await edge.send(GetKeys())).verify(first.token, time.time())
    assert (claims.account, claims.sid, claims.expires) == (first.account, first.sid, first.expires)
    assert claims.expires - claims.issued == 30 * 86_400


async def test_registration_is_published_to_session(cluster: AuthCluster, edge: EdgeProbe) -> None:
    session = await cluster.session()
    made = await edge.register("ann@example.org", nickname="Ann", vip=2, lobby=True)
    profile = (await session.registered.get()).profile
    assert (profile.account, profile.uuid, profile.nickname, profile.vip, profile.lobby) == (
        made.account, made.uuid, "Ann", 2, True,
    )  # fmt: skip


async def test_a_conflict_names_the_taken_field(edge: EdgeProbe) -> None:
    uuid = "00000000-0000-4000-8000-000000000001"
    await edge.register("ann@example.org", username="ann", uuid=uuid)
    for field, value in (
        ("email", "ANN@example.org"), ("username", "ann"), ("uuid", uuid), ("uuid", SYSTEM_UUID),
        ("uuid", SYSTEM_UUID.upper()),
    ):  # fmt: skip
        failure = (await rejection(edge.register(**{field: value}))).failure
        assert (failure.code, failure.field) == (ErrorCode.CONFLICT, field)


@ON_BOTH
async def test_of_concurrent_registrations_one_succeeds(cluster: AuthCluster, edge: EdgeProbe) -> None:
    cluster.start_auth()
    attempts = [edge.send(registration("ann@example.org", f"password {n}")) for n in range(6)]
    replies = await asyncio.gather(*attempts, return_exceptions=True)
    won = [n for n, reply in enumerate(replies) if isinstance(reply, Authenticated)]
    lost = [reply for reply in replies if isinstance(reply, RequestError)]
    assert len(won) == 1
    assert [(reply.failure.code, reply.failure.field) for reply in lost] == [(ErrorCode.CONFLICT, "email")] * 5
    assert isinstance(await edge.login("ann@example.org", f"password {won[0]}"), Authenticated)


async def test_an_unacceptable_request_is_invalid(edge: EdgeProbe) -> None:
    wrong = [
        edge.send(registration("no-address")),
        edge.login("", kind=IdentifierKind.EMAIL),
        edge.send(Logout("", AccountId(1))),
    ]
    for work in wrong:
        assert await rejection_code(work) == ErrorCode.INVALID


async def test_new_plain_passwords_may_need_a_length_and_must_not_be_common(
    start: StartCluster, tmp_path: Path
) -> None:
    auth = cheap_auth(tmp_path / "keys").model_copy(
        update={"password_min_characters": 8, "refuse_common_passwords": True}
    )
    _, edge = await start(auth=auth)
    for password in ("qz7-kwv", "Password", "iloveyou1"):
        failure = (await rejection(edge.register(username="ann", password=password))).failure
        assert (failure.code, failure.field) == (ErrorCode.INVALID, "secret")
    opaque = Secret(Scheme.MD5, hashlib.md5(b"1234567", usedforsecurity=False).hexdigest())
    await edge.register("bob@example.org", secret=opaque)
    await edge.register("ann@example.org", "an unusual one", question_id=1, answer="blue")
    recovery = Recover(username="ann@example.org", question_id=1, answer="blue", secret=plain("password1"))
    assert await rejection_code(edge.send(recovery)) == ErrorCode.INVALID
    assert isinstance(await edge.login("ann@example.org", "an unusual one"), Authenticated)


async def test_an_address_registers_five_accounts_a_minute(limited: AuthCluster) -> None:
    limited.start_auth()
    edge = await limited.edge()
    for number in range(5):
        await edge.register(f"u{number}@example.org", origin=ELSEWHERE)
    sixth = edge.register("u6@example.org", origin=ELSEWHERE)
    assert await rejection_code(sixth) == ErrorCode.RATE_LIMITED
    assert isinstance(await edge.register("u6@example.org"), Authenticated)


async def test_the_attempts_at_one_request_count_and_are_hashed_as_one_registration(
    start: StartCluster, hasher: BlockingHasher
) -> None:
    """The edge repeats the request while auth waits for a hash."""
    _, edge = await start(limits=LimitsSettings(registrations_per_minute=1))
    begun = len(hasher.threads)
    await edge.register("eve@example.org", origin=ELSEWHERE)
    hashed = len(hasher.threads)
    request, nonce = registration("ann@example.org"), token_hex(32)
    hasher.open.clear()
    for _ in range(2):
        assert await rejection_code(edge.bus.send(request, seconds=0.5, nonce=nonce)) == ErrorCode.UNAVAILABLE
    hasher.open.set()
    reply: LoginReply = await edge.bus.send(request, seconds=WAIT_SECONDS, nonce=nonce)
    assert isinstance(reply, Authenticated)
    assert len(hasher.threads) - hashed == hashed - begun
    assert await rejection_code(edge.send(registration("bob@example.org"))) == ErrorCode.RATE_LIMITED


async def test_a_nickname_does_not_imitate_the_operator_s_announcements(edge: EdgeProbe) -> None:
    for nickname in ("Dragoman", " dragoman", "Drаgoman", "DRAGOMAN!"):
        failure = (await rejection(edge.register("ann@example.org", nickname=nickname))).failure
        assert (failure.code, failure.field) == (ErrorCode.INVALID, "nickname")
    assert (await edge.register("ann@example.org", nickname="Dragomanov")).nickname == "Dragomanov"
