"""Tests deadlines from requesters whose clocks differ from the clock of this process."""

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.bus import requester_clocks
from shared.bus.requester_clocks import RequesterClocks, is_forgotten, is_late, to_wall_clock

HOUR = 3_600_000.0
NOW = 1_700_000_000_000.0


class SteadyClock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = NOW
        monkeypatch.setattr(requester_clocks, "steady_ms", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SteadyClock:
    return SteadyClock(monkeypatch)


def request(sent: float | None, deadline: float, requester: str = "a") -> Msg:
    headers = {"Deadline": str(deadline)} | ({} if sent is None else {"Sent": str(sent)})
    return Msg(Client(), "subject", f"inbox.edge.{requester}.1", b"", headers)


def known(clock: SteadyClock, ahead: float) -> RequesterClocks:
    """Returns the clocks after two requests of a requester whose clock is this far ahead. The time is then NOW."""
    clocks = RequesterClocks()
    for seconds in (3, 1):
        clock.now = NOW - seconds * 1000
        clocks.translate(request(clock.now + ahead, NOW))
    clock.now = NOW
    return clocks


@pytest.mark.parametrize("ahead", [-HOUR, 0.0, HOUR])
def test_a_deadline_is_one_of_the_requesters_clock(clock: SteadyClock, ahead: float) -> None:
    clocks = known(clock, ahead)
    on_time, late = request(NOW + ahead, NOW + ahead + 5000), request(NOW + ahead, NOW + ahead - 1)
    assert [clocks.translate(on_time), clocks.translate(late)] == [-ahead, -ahead]
    assert (is_late(on_time), is_late(late)) == (False, True)
    clock.now += 5001
    assert is_late(on_time)


def test_first_requests_that_were_delayed_are_late(clock: SteadyClock) -> None:
    """The broker was frozen for ten seconds, and delivers the requests together.

    The next request corrects the clock.
    """
    clocks = RequesterClocks()
    delayed = [request(NOW - 10_000 + number, NOW - 2000) for number in range(3)]
    for message in delayed:
        clocks.translate(message)
        clock.now += 300
    assert [is_late(message) for message in delayed] == [True] * 3
    clock.now += 5000
    assert clocks.translate(request(clock.now - 1, clock.now + 5000)) == 1


def test_a_requester_that_seems_to_be_in_the_past_is_believed_from_its_second_request_on(clock: SteadyClock) -> None:
    clocks = RequesterClocks()
    assert clocks.translate(request(NOW - 10_000, NOW)) == 0
    clock.now += 2000
    assert clocks.translate(request(clock.now - 10_000, NOW)) == pytest.approx(10_000, abs=3)
    assert clocks.translate(request(clock.now - HOUR, NOW, "b")) == HOUR


def test_a_request_that_was_on_its_way_for_long_is_late(clock: SteadyClock) -> None:
    """The process was frozen for a minute. The difference between the clocks stays the same."""
    clocks = RequesterClocks()
    clocks.translate(request(NOW + HOUR, NOW + HOUR + 5000))
    clock.now += 60_000
    delayed = request(NOW + HOUR + 1000, NOW + HOUR + 6000)
    clocks.translate(delayed)
    assert is_late(delayed)


def test_the_estimate_follows_clocks_that_drift(clock: SteadyClock) -> None:
    clocks = RequesterClocks()
    clocks.translate(request(NOW + 10, NOW))
    for _ in range(100):
        clock.now += 1000
        added = clocks.translate(request(clock.now - 30, NOW))
    assert added == 30


def test_requesters_are_distinguished_and_forgotten(clock: SteadyClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requester_clocks, "_MAX_REQUESTERS", 2)
    clocks = RequesterClocks()
    for requester, ahead in (("a", 1000), ("b", 2000), ("c", 3000)):
        assert clocks.translate(request(NOW + ahead, NOW, requester)) == -ahead
    clock.now += 500
    assert clocks.translate(request(NOW + 3000, NOW, "c")) == pytest.approx(-3000, abs=1)
    assert clocks.translate(request(NOW + 1000, NOW, "a")) == -500


def test_a_requester_without_a_time_has_our_clock(clock: SteadyClock) -> None:
    clocks = RequesterClocks()
    message = request(None, NOW + 5)
    assert clocks.translate(message) == 0
    assert not is_late(message)
    clock.now += 6
    assert is_late(message)
    assert clocks.translate(Msg(Client(), "subject", "", b"", None)) == 0


def test_a_time_on_our_wall_clock(clock: SteadyClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock was set back by two seconds after the start."""
    monkeypatch.setattr(requester_clocks, "now_ms", lambda: int(clock.now) - 2000)
    assert to_wall_clock(int(NOW + HOUR), -HOUR) == NOW - 2000


def test_a_request_is_forgotten_half_a_minute_after_its_deadline(clock: SteadyClock) -> None:
    waiting, endless = request(NOW, NOW + 5000), Msg(Client(), "subject", "inbox.edge.a.1")
    clock.now += 35_000
    assert not is_forgotten(waiting)
    clock.now += 1
    assert (is_forgotten(waiting), is_forgotten(endless)) == (True, False)
