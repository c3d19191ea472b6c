"""Rate limits with the default settings."""

import asyncio
from collections.abc import AsyncIterator, Awaitable

import pytest

from services.auth import domain
from services.auth.adapters.sliding_window import SlidingWindow
from services.auth.metrics import AuthMetrics
from services.auth.service import login_limits as module
from services.auth.service.login_limits import LoginLimiter
from shared.contract.errors import ErrorCode, RequestError
from shared.settings import LimitsSettings
from tests.support.servers import ValkeyServer

HOME, AWAY = "192.0.2.1", "198.51.100.1"


@pytest.fixture
async def window(valkey_server: ValkeyServer, metrics: AuthMetrics) -> AsyncIterator[SlidingWindow]:
    window = SlidingWindow(valkey_server.settings("auth"), metrics)
    yield window
    await window.close()


@pytest.fixture
def limits(window: SlidingWindow) -> LoginLimiter:
    return LoginLimiter(LimitsSettings(), window, count_failures=False)


async def passes(work: Awaitable[None]) -> bool:
    try:
        await work
    except RequestError as error:
        return error.failure.code != ErrorCode.RATE_LIMITED
    return True


async def attempt(limits: LoginLimiter, subject: str, address: str, *, fails: bool) -> None:
    async with limits.attempt(subject, address) as attempt:
        attempt.failed = fails


async def fail(limits: LoginLimiter, subject: str, address: str = HOME) -> None:
    await attempt(limits, subject, address, fails=True)


async def succeed(limits: LoginLimiter, subject: str, address: str = HOME) -> None:
    await attempt(limits, subject, address, fails=False)


async def test_five_registrations_a_minute_from_an_address(limits: LoginLimiter) -> None:
    assert [await passes(limits.registration("2001:db8::1")) for _ in range(6)] == [True] * 5 + [False]
    assert not await passes(limits.registration("2001:db8::2"))
    assert await passes(limits.registration("2001:db8:0:1::1"))


async def test_twenty_mails_from_an_address(limits: LoginLimiter) -> None:
    assert [await passes(limits.mail(HOME)) for _ in range(21)] == [True] * 20 + [False]
    assert await passes(limits.mail(AWAY))


async def test_five_failures_of_an_account_from_an_address(limits: LoginLimiter) -> None:
    for _ in range(20):
        await succeed(limits, "7")
    assert [await passes(fail(limits, "7")) for _ in range(6)] == [True] * 5 + [False]
    assert not await passes(succeed(limits, "7"))
    assert await passes(succeed(limits, "7", AWAY))
    assert await passes(succeed(limits, "8"))
    assert await limits.failures("7") == 5


async def test_twenty_failures_from_an_address(limits: LoginLimiter) -> None:
    assert [await passes(fail(limits, str(number))) for number in range(21)] == [True] * 20 + [False]
    assert not await passes(succeed(limits, "new"))
    assert await passes(succeed(limits, "new", AWAY))


async def test_attempts_at_once_are_bounded_by_the_limit(limits: LoginLimiter) -> None:
    tried, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def guess() -> bool:
        try:
            async with limits.attempt("7", HOME) as attempt:
                tried.release()
                attempt.failed = True
                await go_on.wait()
        except RequestError:
            return False
        return True

    guesses = [asyncio.create_task(guess()) for _ in range(20)]
    for _ in range(5):
        await tried.acquire()
    go_on.set()
    assert sorted(await asyncio.gather(*guesses)) == [False] * 15 + [True] * 5


async def test_an_attempt_without_a_result_is_no_failure(limits: LoginLimiter) -> None:
    for _ in range(10):
        with pytest.raises(TimeoutError):
            async with limits.attempt("7", HOME):
                raise TimeoutError
    assert await passes(succeed(limits, "7"))


async def test_failures_over_all_addresses_only_delay(limits: LoginLimiter, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def delay_seconds(failures: int) -> float:
        seen.append(failures)
        return 0.001

    monkeypatch.setattr(domain, "delay_seconds", delay_seconds)
    for number in range(30):
        assert await passes(fail(limits, "7", f"192.0.2.{number}"))
    assert seen == list(range(30))
    await limits.reset("7")
    await succeed(limits, "7", AWAY)
    assert seen[-1] == 0


async def test_delayed_logins_are_bounded(limits: LoginLimiter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DELAYED_LOGINS", 1)
    monkeypatch.setattr(domain, "delay_seconds", lambda failures: 0.5)
    both = await asyncio.gather(passes(succeed(limits, "7")), passes(succeed(limits, "8")))
    assert sorted(both) == [False, True]
    assert await passes(succeed(limits, "8"))


async def test_without_rates_nothing_is_rejected_but_failures_may_count(window: SlidingWindow) -> None:
    free = LoginLimiter(LimitsSettings(rates=False), window, count_failures=False)
    counting = LoginLimiter(LimitsSettings(rates=False), window, count_failures=True)
    for _ in range(30):
        await free.registration(HOME)
        await fail(free, "7")
    assert await free.failures("7") == 0
    for _ in range(30):
        await fail(counting, "7")
    assert await counting.failures("7") == 30


async def test_without_redis_the_limits_hold(limits: LoginLimiter, valkey_server: ValkeyServer) -> None:
    valkey_server.kill()
    assert [await passes(limits.registration(HOME)) for _ in range(6)] == [True] * 5 + [False]
    assert [await passes(fail(limits, "7")) for _ in range(6)] == [True] * 5 + [False]
