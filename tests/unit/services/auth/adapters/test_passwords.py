"""Password hashes are computed in threads, one thread for each check, with a bounded queue."""

import asyncio
import platform
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from argon2 import extract_parameters

from services.auth.adapters import passwords as module
from services.auth.adapters.passwords import Argon2Hasher, CommonPasswords
from services.auth.metrics import AuthMetrics
from shared.contract.errors import ErrorCode, RequestError
from shared.settings.accounts import AuthSettings
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.auth.blocking_hasher import BlockingHasher
from tests.unit.services.auth.conftest import cheap_auth

MakeHasher = Callable[[AuthSettings], Argon2Hasher]


@pytest.fixture
def auth(tmp_path: Path) -> AuthSettings:
    return cheap_auth(tmp_path).model_copy(update={"hash_threads": 1, "hash_queue": 3})


@pytest.fixture
async def make_hasher(metrics: AuthMetrics) -> AsyncIterator[MakeHasher]:
    made: list[Argon2Hasher] = []

    def one(settings: AuthSettings) -> Argon2Hasher:
        made.append(Argon2Hasher(settings, metrics))
        return made[-1]

    yield one
    for passwords in made:
        await passwords.close()


async def test_a_verifier_matches_its_text_only(make_hasher: MakeHasher, auth: AuthSettings) -> None:
    passwords = make_hasher(auth)
    first, second = await passwords.hash(["secret", "secret"])
    assert first != second
    assert await passwords.verify(first, "secret")
    assert not await passwords.verify(first, "Secret")
    assert not await passwords.verify(None, "secret")


def test_the_defaults_are_argon2id_as_recommended(metrics: AuthMetrics) -> None:
    made = extract_parameters(Argon2Hasher(AuthSettings(), metrics)._dummy_verifier)
    assert (made.type.name, made.memory_cost, made.time_cost, made.parallelism) == ("ID", 19_456, 2, 1)


async def test_every_check_costs_one_hash_on_a_thread(
    make_hasher: MakeHasher, auth: AuthSettings, hasher: BlockingHasher
) -> None:
    passwords = make_hasher(auth)
    [verifier] = await passwords.hash(["secret"])
    for held, text in [(verifier, "secret"), (verifier, "wrong"), (None, "secret")]:
        hasher.threads.clear()
        await passwords.verify(held, text)
        assert [name.startswith("argon2") for name in hasher.threads] == [True]


async def test_a_full_queue_rejects_and_queued_requests_run_in_order(
    make_hasher: MakeHasher, auth: AuthSettings, hasher: BlockingHasher
) -> None:
    passwords = make_hasher(auth)
    [verifier] = await passwords.hash(["0"])
    hasher.open.clear()
    done: list[int] = []

    async def login(number: int) -> None:
        await passwords.verify(verifier, str(number))
        done.append(number)

    waiting = [asyncio.create_task(login(number)) for number in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(RequestError) as caught:
        await passwords.verify(verifier, "one too many")
    assert caught.value.failure.code == ErrorCode.UNAVAILABLE
    hasher.open.set()
    await asyncio.gather(*waiting)
    assert done == [0, 1, 2, 3]


async def test_requests_that_time_out_or_are_cancelled_cost_no_hash(
    make_hasher: MakeHasher, auth: AuthSettings, hasher: BlockingHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_WAIT_SECONDS", 0.05)
    passwords = make_hasher(auth)
    [verifier] = await passwords.hash(["x"])
    hasher.open.clear()
    hasher.threads.clear()
    working = asyncio.create_task(passwords.verify(verifier, "x"))
    await asyncio.sleep(0)
    leaving = asyncio.create_task(passwords.verify(verifier, "x"))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(RequestError) as caught:
        await passwords.verify(verifier, "x")
    assert caught.value.failure.code == ErrorCode.UNAVAILABLE
    hasher.open.set()
    assert await working
    assert len(hasher.threads) == 1
    assert await passwords.verify(verifier, "x")


async def test_cheaper_hashes_are_outdated_costlier_ones_are_not(make_hasher: MakeHasher, auth: AuthSettings) -> None:
    cheap = make_hasher(auth)
    dear = make_hasher(auth.model_copy(update={"argon2_memory_kib": 64, "argon2_iterations": 2}))
    [old], [new] = await cheap.hash(["x"]), await dear.hash(["x"])
    assert dear.is_outdated(old)
    assert not dear.is_outdated(new)
    assert not cheap.is_outdated(new)


async def test_it_is_busy_while_a_request_is_queued(
    make_hasher: MakeHasher, auth: AuthSettings, hasher: BlockingHasher
) -> None:
    passwords = make_hasher(auth)
    hasher.open.clear()
    working: list[asyncio.Task[bool]] = []
    busy: list[bool] = []
    for _ in range(2):
        working.append(asyncio.create_task(passwords.verify(None, "x")))
        await asyncio.sleep(0)
        busy.append(passwords.is_busy)
    hasher.open.set()
    await asyncio.gather(*working)
    assert [*busy, passwords.is_busy] == [False, True, False]


_REST = """
import asyncio
import os
import sys
from prometheus_client import CollectorRegistry
from bench.system.processes import memory_kib
from services.auth.adapters import passwords
from services.auth.adapters.allocator import keep_freed_memory
from services.auth.metrics import AuthMetrics
from shared.settings.accounts import AuthSettings

async def main():
    passwords._RESTED_SECONDS = 0.1
    hasher = passwords.Argon2Hasher(AuthSettings(), AuthMetrics(CollectorRegistry()))
    keep_freed_memory()
    before = memory_kib(os.getpid())
    await asyncio.gather(*(hasher.hash(["secret"]) for _ in range(8)))
    assert memory_kib(os.getpid()) - before > 16_000
    async with asyncio.timeout(float(sys.argv[1])):
        while memory_kib(os.getpid()) - before > 4_000:
            await asyncio.sleep(0.05)
    await hasher.close()

asyncio.run(main())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are left as they are")
def test_the_memory_of_hashes_goes_back_to_the_system() -> None:
    subprocess.run([sys.executable, "-c", _REST, str(WAIT_SECONDS)], check=True)


def test_only_whole_words_of_the_list_are_common() -> None:
    common = CommonPasswords()
    words = "123456", "password", "123456\npassword", "asswor", ""
    assert [word for word in words if word in common] == ["123456", "password"]
