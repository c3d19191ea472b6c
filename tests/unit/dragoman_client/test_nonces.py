"""The nonces of messages are UUIDs of version 7, with the present time."""

import time
from uuid import RFC_4122, UUID

import pytest

from dragoman_client.nonces import NonceSource


def test_a_nonce_begins_with_the_time_and_comes_once() -> None:
    before = time.time_ns() // 1_000_000
    source = NonceSource()
    nonces = [UUID(source.new_nonce()) for _ in range(10_000)]
    after = time.time_ns() // 1_000_000
    assert all((one.version, one.variant) == (7, RFC_4122) for one in nonces)
    times = [one.int >> 80 for one in nonces]
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= after
    assert len(set(nonces)) == 10_000


def test_two_sources_give_different_nonces_at_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    first, second = NonceSource(), NonceSource()
    nonces = {source.new_nonce() for source in (first, second) for _ in range(1_000)}
    assert len(nonces) == 2_000
