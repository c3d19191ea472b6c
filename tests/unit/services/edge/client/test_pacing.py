"""Frames above the permitted rate wait in order.

Only a client that sends very many such frames and continues is closed.
"""

import pytest

from services.edge.canonical.frames import Binary, Frame
from services.edge.client.connection import CloseConnection
from services.edge.client.inbox import WAITED
from services.edge.dialects.base import LocalReply
from services.edge.rate_limit import AccountRequests
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.client.intake import ENTERED, NOW, Intake, contexts, post, requests_of
from tests.unit.services.edge.json_dialect import JsonDialect, frame

TICK = 0.5
PATIENCE = 8.0


def taken(each: Intake, now: float) -> list[object]:
    """Returns the requests that one call takes."""
    each.queue.on_timer(now)
    found: list[object] = []
    while (work := each.next_work(now, patience=PATIENCE)) is not None:
        assert requests_of(work), work
        assert each.queue.waited <= 1.0
        found += contexts(work)
    return found


def test_a_burst_waits_in_order_and_its_waiting_is_none_of_the_edge() -> None:
    """After its login, a client requests each of its thousand chats, with the default limits."""
    each, done, seconds = Intake(LimitsSettings()), list[object](), 0.0
    for ref in range(1_000):
        while not each.socket.reading:
            seconds += TICK
            done += taken(each, NOW + seconds)
        each.receive(frame(ref=ref, do="account", account=1), NOW + seconds)
    while len(done) < 1_000:
        seconds += TICK
        done += taken(each, NOW + seconds)
    assert done == [*range(1_000)]
    assert seconds == pytest.approx((1_000 - 200) / 50, abs=TICK)


def test_a_frame_after_a_pause_overtakes_none_that_waits() -> None:
    each = Intake(LimitsSettings(requests_per_second=1.0, requests_burst=2))
    for ref in range(4):
        each.receive(post(ref))
    each.receive(post(4), NOW + 1.0)
    assert taken(each, NOW + 1.0) == [0, 1, 2]
    assert taken(each, NOW + 2.0) == [3]
    assert taken(each, NOW + 3.0) == [4]
    each.receive(post(5), NOW + 10.0)
    assert each.queue.paced == 0


class PingDialect(JsonDialect):
    """A dialect whose pings overtake the frames over the rate."""

    def overtakes(self, frame: Frame) -> bool:
        return b'"ping"' in frame.data if isinstance(frame, Binary) else b'"ping"' in frame


def test_a_ping_overtakes_the_frames_over_the_rate_and_no_others() -> None:
    each = Intake(LimitsSettings(requests_per_second=1.0, requests_burst=2))
    each.connection.dialect = PingDialect(each.connection.info)
    for ref in range(4):
        each.receive(post(ref))
    each.receive(frame(do="ping", ref="first"))
    each.receive(frame(do="ping", ref="second"))
    batch, *pongs = each.drain()
    assert contexts(batch) == [0, 1]
    assert pongs == [LocalReply((frame(re=ref, ok="pong"),)) for ref in ("first", "second")]
    assert each.queue.paced == 2
    assert taken(each, NOW + 1.0) == [2]
    assert taken(each, NOW + 2.0) == [3]
    assert each.queue.queued == each.queue.queued_bytes == each.queue.paced == 0


def test_a_flood_of_pings_waits() -> None:
    each = Intake(LimitsSettings(requests_per_second=1.0, requests_burst=2))
    each.connection.dialect = PingDialect(each.connection.info)
    for _ in range(20):
        each.receive(frame(do="ping"))
    assert len(each.drain()) == 2 + 5
    assert each.queue.paced == 13


def test_the_time_that_counts_begins_with_the_turn() -> None:
    each = Intake(LimitsSettings(requests_per_second=0.1, requests_burst=1))
    each.receive(post(0))
    each.receive(post(1))
    assert contexts(each.next_work(NOW, patience=PATIENCE)) == [0]
    assert contexts(each.next_work(NOW + 30.0, patience=PATIENCE)) == [1]
    assert each.queue.waited == 0.0


def test_parts_of_a_file_keep_their_place_and_need_no_turn() -> None:
    each = Intake(LimitsSettings(requests_per_second=1.0, requests_burst=1))
    for one in (post(0), post(1), Binary(b"part"), Binary(b"part"), post(2)):
        each.receive(one)
    assert taken(each, NOW) == [0]
    assert taken(each, NOW + 1.0) == [1, None, None]
    assert taken(each, NOW + 2.0) == [2]


def test_an_account_s_rate_costs_the_connection_nothing() -> None:
    """The frame waits for the account's rate. Attempts before its turn do not use up the rate of the connection."""
    each = Intake(LimitsSettings(requests_per_second=1.0, requests_burst=10))
    each.connection.logged_in(ENTERED, AccountRequests(1.0, 1, NOW))
    for ref in range(3):
        each.receive(post(ref))
    for _ in range(50):
        each.next_work(NOW)
    assert taken(each, NOW + 1.0) == [1]
    assert taken(each, NOW + 2.0) == [2]


def test_a_connection_without_a_login_may_send_less_at_once() -> None:
    limits = LimitsSettings(requests_per_second=1.0, requests_burst_before_login=3)
    each = Intake(limits, logged_in=False)
    for ref in range(5):
        each.receive(frame(ref=ref, do="status"))
    assert taken(each, NOW) == [0, 1, 2]
    each.connection.logged_in(ENTERED, AccountRequests(1.0, 100, NOW))
    assert taken(each, NOW) == [3, 4]


def test_a_socket_with_many_that_wait_is_read_more_slowly() -> None:
    each, read = Intake(LimitsSettings(requests_per_second=0.001)), 0
    for ref in range(200):
        each.receive(post(ref))
    assert len(taken(each, NOW)) == 200
    for call in range(3):
        each.queue.on_timer(NOW + call * TICK)
        while each.socket.reading:
            each.receive(post(read))
            read += 1
        assert not each.queue.resume_reading()
    assert read == 3 * 256


def test_before_a_login_no_more_than_a_burst_may_wait() -> None:
    """Otherwise, clients without an account could fill the memory with very many requests on each connection."""
    stranger, each = (
        Intake(LimitsSettings(requests_per_second=0.001, requests_burst=20), logged_in=False) for _ in range(2)
    )
    for ref in range(50 + 20):
        stranger.receive(frame(ref=ref, do="status"))
        each.receive(frame(ref=ref, do="status"))
    with pytest.raises(CloseConnection):
        stranger.receive(frame(ref=70, do="status"))
    each.connection.logged_in(ENTERED, AccountRequests(1.0, 100, NOW))
    each.receive(frame(ref=70, do="status"))
    assert each.queue.paced == 21


def test_requests_that_are_decoded_are_rejected_before_the_frames() -> None:
    each = Intake()
    each.receive(frame(ref=1, do="account", account=1, times=2))
    each.receive(post(2))
    assert contexts(each.next_work()) == [1]
    first, second = each.queue.reject_all(WAITED)
    assert first.request is not None
    assert (first.request.context, second.context) == (1, 2)
