from hypothesis import given
from hypothesis import strategies as st

from services.edge.rate_limit import TokenBucket


def test_a_burst_then_the_rate() -> None:
    bucket = TokenBucket(2.0, 3, now=100.0)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(100.5), bucket.take(100.5)] == [True, False]
    assert [bucket.take(1000.0) for _ in range(4)] == [True, True, True, False]


@given(
    st.floats(0.1, 100), st.integers(1, 50), st.lists(st.floats(0, 5), min_size=1, max_size=200),
)  # fmt: skip
def test_never_more_than_the_burst_and_the_rate(per_second: float, burst: int, pauses: list[float]) -> None:
    bucket, now, allowed = TokenBucket(per_second, burst, 0.0), 0.0, 0
    for pause in pauses:
        now += pause
        allowed += bucket.take(now)
        assert allowed <= burst + now * per_second + 1e-6


@given(st.integers(1, 50), st.integers(1, 100))
def test_requests_at_the_rate_are_never_rejected(per_second: int, requests: int) -> None:
    bucket = TokenBucket(per_second, 1, 0.0)
    assert all(bucket.take(number / per_second + 1e-9 * number) for number in range(requests))
