"""Names of messages are UUIDs of version 7 of the present time."""

import time
from uuid import RFC_4122, UUID

from clients.nonces import new_nonce


def test_a_nonce_begins_with_the_time_and_comes_once() -> None:
    before = time.time_ns() // 1_000_000
    nonces = [UUID(new_nonce()) for _ in range(100)]
    after = time.time_ns() // 1_000_000
    assert all((one.version, one.variant) == (7, RFC_4122) for one in nonces)
    times = [one.int >> 80 for one in nonces]
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= after
    assert len(set(nonces)) == 100
