"""Rate limits with the default settings."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager

import pytest
from prometheus_client import CollectorRegistry

from services.auth import domain
from services.auth.adapters.sliding_window import SlidingWindow
from services.auth.domain import Account, LoginSubject
from services.auth.metrics import AuthMetrics
from services.auth.service import login_limits as module
from services.auth.service.login_limits import LoginAttempt, LoginLimiter
from services.auth.service.ports import Admission
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.session import EnsureProfile
from shared.request_nonce import request_nonce
from shared.settings.limits import LimitsSettings
from tests.support.servers import ValkeyServer

HOME, AWAY = "192.0.2.1", "198.51.100.1"
ANN = Account(EnsureProfile(account=AccountId(7), uuid="u", nickname="n"), "ann@example.org", {}, username="ann")


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


def sole(identifier: str) -> LoginSubject:
    """Returns the subject for which the limit counts a login.

    Its identifier belongs to no account, or is the only one of its account.
    """
    return LoginSubject(identifier, (identifier,))


async def attempt(limits: LoginLimiter, identifier: str, address: str, *, fails: bool) -> None:
    async with limits.login(sole(identifier), address) as attempt:
        attempt.failed = fails


async def fail(limits: LoginLimiter, identifier: str, address: str = HOME) -> None:
    await attempt(limits, identifier, address, fails=True)


async def succeed(limits: LoginLimiter, identifier: str, address: str = HOME) -> None:
    await attempt(limits, identifier, address, fails=False)


async def guess(attempts: AbstractAsyncContextManager[LoginAttempt]) -> None:
    async with attempts as attempt:
        attempt.failed = True


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


async def test_a_request_that_the_edge_repeats_fails_once(limits: LoginLimiter) -> None:
    """A wrong answer of a recovery, to which auth replies late."""
    for number in range(4):
        request_nonce.set(f"request {number}")
        for _ in range(3):
            assert await passes(guess(limits.recovery(sole("7"), HOME)))
    request_nonce.set("")
    assert [await passes(guess(limits.recovery(sole("7"), HOME))) for _ in range(2)] == [True, False]


async def test_twenty_failures_from_an_address(limits: LoginLimiter) -> None:
    assert [await passes(fail(limits, str(number))) for number in range(21)] == [True] * 20 + [False]
    assert not await passes(succeed(limits, "new"))
    assert await passes(succeed(limits, "new", AWAY))


async def test_a_64_network_is_a_unit_and_wider_networks_have_limits_of_their_own(limits: LoginLimiter) -> None:
    """A /56 allows forty failures, from any of its /64 networks, and a /48 allows eighty."""
    in_56 = [await passes(fail(limits, f"a{number}", f"2001:db8:0:{number:x}::1")) for number in range(41)]
    assert in_56 == [True] * 40 + [False]
    in_48 = [await passes(fail(limits, f"b{number}", f"2001:db8:0:{number:x}00::1")) for number in range(1, 42)]
    assert in_48 == [True] * 40 + [False]
    assert await passes(fail(limits, "c", "2001:db8:1::1"))


class Guesses:
    """Logins with wrong secrets at the same time. None is checked before `go_on` is set."""

    def __init__(self, *limits: LoginLimiter) -> None:
        self._limits = limits
        self.go_on = asyncio.Event()
        self.running = self.judged = 0
        self._changed = asyncio.Event()

    def start(self, number: int, address: str = HOME) -> list[asyncio.Task[bool]]:
        return [
            asyncio.create_task(self._guess(self._limits[one % len(self._limits)], f"account {one}", address))
            for one in range(number)
        ]

    async def wait_for_running(self, number: int) -> None:
        while self.running < number:
            self._changed.clear()
            await self._changed.wait()

    async def _guess(self, limits: LoginLimiter, account: str, address: str) -> bool:
        try:
            async with limits.login(sole(account), address) as attempt:
                self.running += 1
                self._changed.set()
                await self.go_on.wait()
                attempt.failed = True
                self.judged += 1
        except RequestError:
            return False
        return True


async def test_of_wrong_secrets_at_once_no_more_than_the_limit_are_judged(
    limits: LoginLimiter, valkey_server: ValkeyServer
) -> None:
    """Wrong secrets arrive at two replicas at the same time.

    The replicas together check no more of them than the limit.
    """
    window = SlidingWindow(valkey_server.settings("auth"), AuthMetrics(CollectorRegistry()))
    guesses = Guesses(limits, LoginLimiter(LimitsSettings(), window, count_failures=False))
    tasks = guesses.start(60)
    await guesses.wait_for_running(20)
    guesses.go_on.set()
    assert sorted(await asyncio.gather(*tasks)) == [False] * 40 + [True] * 20
    assert guesses.judged == 20
    await window.close()


async def test_right_secrets_at_once_wait_for_their_places(limits: LoginLimiter) -> None:
    """Many users have the same address, and five attempts of each account may run at the same time."""
    at_once = most = 0

    async def log_in(account: str) -> None:
        nonlocal at_once, most
        async with limits.login(sole(account), HOME):
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.01)
            at_once -= 1

    assert all(await asyncio.gather(*(passes(log_in(str(number))) for number in range(60))))
    assert 1 < most <= 20
    most = 0
    assert all(await asyncio.gather(*(passes(log_in("one")) for _ in range(20))))
    assert 1 < most <= 5


async def test_an_attempt_does_not_wait_for_ever(limits: LoginLimiter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PLACE_SECONDS", 0.2)
    guesses = Guesses(limits)
    tasks = guesses.start(20)
    await guesses.wait_for_running(20)
    assert not await passes(succeed(limits, "new"))
    guesses.go_on.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("failure", ["kill", "pause"])
async def test_the_limit_holds_when_redis_goes_away_during_attempts(
    valkey_server: ValkeyServer, metrics: AuthMetrics, failure: str
) -> None:
    hasty = valkey_server.settings("auth").model_copy(update={"timeout_seconds": 1.0})
    window = SlidingWindow(hasty, metrics)
    limits = LoginLimiter(LimitsSettings(), window, count_failures=False)
    for number in range(10):
        await fail(limits, f"before {number}")
    guesses = Guesses(limits)
    tasks = guesses.start(50)
    await guesses.wait_for_running(10)
    getattr(valkey_server, failure)()
    guesses.go_on.set()
    assert sorted(await asyncio.gather(*tasks)) == [False] * 40 + [True] * 10
    if failure == "pause":
        valkey_server.resume()
    await window.close()


async def test_ten_wrong_answers_a_day_block_recovery_and_no_login(limits: LoginLimiter) -> None:
    async def answer(address: str) -> None:
        async with limits.recovery(sole("7"), address) as attempt:
            attempt.failed = True

    tried = [await passes(answer(f"192.0.2.{number}")) for number in range(11)]
    assert tried == [True] * 10 + [False]
    assert await passes(succeed(limits, "7", AWAY))
    assert await passes(succeed(limits, "7", "192.0.2.1"))


async def test_recovery_is_limited_for_a_day_and_login_for_ten_minutes(
    window: SlidingWindow, limits: LoginLimiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, limited = window.begin, dict[str, float]()

    async def record(key: str, seconds: float, limit: int) -> Admission:
        limited[key.partition(":")[0]] = seconds
        return await begin(key, seconds, limit)

    monkeypatch.setattr(window, "begin", record)
    async with limits.recovery(sole("7"), HOME):
        pass
    assert limited == {"address": 600, "pair": 600, "recovering": 86_400, "recovery": 86_400}


async def test_an_attempt_without_a_result_is_no_failure(limits: LoginLimiter) -> None:
    for _ in range(10):
        with pytest.raises(TimeoutError):
            async with limits.login(sole("7"), HOME):
                raise TimeoutError
    assert await passes(succeed(limits, "7"))


async def test_failures_over_all_addresses_only_delay(limits: LoginLimiter, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def delay_seconds(failures: int) -> float:
        seen.append(failures)
        return 0.001

    monkeypatch.setattr(domain, "delay_seconds", delay_seconds)
    by_number, by_name = (domain.login_subject(identifier, ANN).identifier for identifier in ("7", "ann"))
    for number in range(30):
        assert await passes(fail(limits, by_number, f"192.0.2.{number}"))
    assert seen == list(range(30))
    await succeed(limits, by_name, AWAY)
    assert seen[-1] == 0
    await limits.reset(ANN)
    await succeed(limits, by_number, AWAY)
    assert seen[-1] == 0


async def test_failures_by_one_identifier_delay_no_other_of_its_account(
    limits: LoginLimiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def delay_seconds(failures: int) -> float:
        seen.append(failures)
        return 0

    monkeypatch.setattr(domain, "delay_seconds", delay_seconds)
    by_number, by_name = (domain.login_subject(identifier, ANN) for identifier in ("7", "ann"))
    for number in range(3):
        async with limits.login(by_number, f"192.0.2.{number}") as attempt:
            attempt.failed = True
    async with limits.login(by_name, AWAY):
        pass
    assert seen == [0, 1, 2, 0]


async def test_the_limits_of_an_identifier_do_not_show_the_others_of_its_account(limits: LoginLimiter) -> None:
    by_number, by_name = (domain.login_subject(identifier, ANN) for identifier in ("7", "ann"))
    assert by_number.accounts == by_name.accounts
    for subject in (by_number, by_name):
        for expected in [True] * 5 + [False]:
            assert await passes(guess(limits.login(subject, HOME))) == expected


async def test_wrong_answers_by_several_identifiers_are_limited_together_and_unnoticed(limits: LoginLimiter) -> None:
    subjects = [domain.login_subject(identifier, ANN) for identifier in ("7", "ann", "ann@example.org")]
    judged, passed = 0, list[bool]()

    async def answer(subject: LoginSubject, address: str) -> None:
        nonlocal judged
        async with limits.recovery(subject, address) as attempt:
            attempt.failed = True
            judged += not attempt.is_blocked

    for number, subject in enumerate(subjects):
        passed += [await passes(answer(subject, f"192.0.{number}.{address}")) for address in range(11)]
    assert judged == 10
    assert passed == ([True] * 10 + [False]) * 3


async def test_failures_by_all_identifiers_count_for_the_verification(window: SlidingWindow) -> None:
    counting = LoginLimiter(LimitsSettings(), window, count_failures=True)
    subjects = [domain.login_subject(identifier, ANN) for identifier in ("0000000007", "ann", "ANN@example.org")]
    for subject in subjects:
        await guess(counting.login(subject, HOME))
    assert await counting.failures(ANN) == 3
    await counting.reset(ANN)
    assert await counting.failures(ANN) == 0


async def test_delayed_logins_are_bounded(limits: LoginLimiter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAITING_LOGINS", 1)
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
    assert await free.failures(ANN) == 0
    for _ in range(30):
        await fail(counting, "7")
    assert await counting.failures(ANN) == 30
