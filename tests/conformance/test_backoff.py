"""Simulated clients reconnect with right and with wrong delays."""

import random
from collections.abc import Callable

import pytest

from tests.conformance.backoff import backoff_faults

SECONDS = 12.0
CLIENTS = 5
Delay = Callable[[random.Random, int], float]


def faults(delay: Delay, seed: int) -> list[str]:
    """Returns the faults of simulated clients. `delay(random, n)` is the wait before a client's n-th attempt."""
    source = random.Random(seed)
    attempts = []
    for _ in range(CLIENTS):
        now, times = 100.0, list[float]()
        while (now := now + delay(source, len(times))) < 100.0 + SECONDS:
            times.append(now)
        attempts.append(times)
    return [*backoff_faults(100.0, SECONDS, attempts)]


@pytest.mark.parametrize("first", [0.1, 0.5, 1.0, 10.0])
@pytest.mark.parametrize("least", [0.0, 0.5])
def test_growing_random_delays_pass(first: float, least: float) -> None:
    def delay(source: random.Random, number: int) -> float:
        limit = min(30.0, first * 2**number)
        return source.uniform(least * limit, limit)

    assert [seed for seed in range(2000) if faults(delay, seed)] == []


@pytest.mark.parametrize("limit", [0.2, 0.5, 1.0])
def test_delays_that_do_not_grow_fail(limit: float) -> None:
    found = [faults(lambda source, _: source.uniform(limit / 2, limit), seed) for seed in range(200)]
    assert all(one and one[0].startswith("delays do not grow") for one in found)


@pytest.mark.parametrize("first", [0.1, 0.5, 1.0])
def test_delays_without_a_random_part_fail(first: float) -> None:
    """The machine makes each attempt a few milliseconds late."""
    found = [faults(lambda source, n: first * 2**n + source.uniform(0, 0.02), seed) for seed in range(200)]
    assert all(one[-1:] == ["delays are not random: 5 clients have waited the same times"] for one in found)


def test_clients_that_have_not_tried_yet_cannot_be_compared() -> None:
    assert faults(lambda *_: 60.0, 1) == []
