"""Frames are decoded and returned in the order of their arrival."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.canonical.frames import Binary, Frame
from services.edge.client.connection import CloseConnection, Phase
from services.edge.client.inbox import NOT_LOGGED_IN, WAITED, PostBatch, RejectedFrame, Work
from services.edge.dialects.base import LocalReply
from services.edge.rate_limit import AccountRequests
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.client.intake import ENTERED, NOW, Intake, contexts, post, requests_of
from tests.unit.services.edge.json_dialect import frame


def test_a_batch_is_bounded() -> None:
    each = Intake()
    for number in range(150):
        each.receive(post(number), NOW)
    assert [len(contexts(work)) for work in each.drain()] == [64, 64, 22]


def test_a_message_to_another_chat_waits_from_its_arrival_on() -> None:
    for seconds, is_late in ((7.0, False), (9.0, True)):
        each = Intake()
        each.receive(post(1, chat=1), NOW)
        each.receive(post(2, chat=2), NOW)
        assert contexts(each.next_work(NOW, patience=8.0)) == [1]
        work = each.next_work(NOW + seconds, patience=8.0)
        assert each.queue.waited == seconds
        assert isinstance(work, RejectedFrame) is is_late


def test_requeued_requests_come_first() -> None:
    each = Intake()
    for number in (1, 2, 3):
        each.receive(post(number), NOW)
    run = each.next_work(NOW)
    each.receive(post(4), NOW)
    for request in reversed(requests_of(run)[1:]):
        each.queue.requeue(request)
    assert [contexts(work) for work in each.drain()] == [[2, 3, 4]]


frames = st.lists(
    st.sampled_from(
        ["post 1", "post 2", "account", "garbage", "binary", "part", "login", "three", "ping", "watch"]
    ), max_size=30
)  # fmt: skip


def _frame(kind: str, ref: int) -> Frame:
    match kind.split():
        case ["post", chat]:
            return post(ref, int(chat))
        case ["account"]:
            return frame(ref=ref, do="account", account=1)
        case ["login"]:
            return frame(ref=ref, do="login", account=1)
        case ["three"]:
            return frame(ref=ref, do="account", account=1, times=3)
        case ["binary"]:
            return Binary(b"x")
        case ["part"]:
            return Binary(b"part")
        case ["ping" | "watch"]:
            return frame(ref=ref, do=kind)
        case _:
            return b"garbage"


@given(frames, st.lists(st.booleans(), max_size=60), st.integers(1, 20))
def test_all_work_is_returned_once_in_the_order_of_arrival(kinds: list[str], turns: list[bool], burst: int) -> None:
    """After a burst, each frame waits for its turn, and later frames wait behind it."""
    each = Intake(LimitsSettings(requests_per_second=0.001, requests_burst=burst))
    now = NOW + 60
    expected: list[object] = []
    handed: list[object] = []
    waiting = list(enumerate(kinds))
    for takes in [*turns, *([False] * len(kinds))]:
        if takes:
            handed += _handed(each.next_work(now))
        elif waiting:
            number, kind = waiting.pop(0)
            each.receive(_frame(kind, number), now)
            if kind == "part":
                expected.append(None)
            elif kind in ("binary", "garbage"):
                expected.append("invalid")
            elif kind == "ping":
                expected.append(LocalReply((frame(re=number, ok="pong"),)))
            elif kind == "watch":
                continue
            else:
                expected += [number] * (3 if kind == "three" else 1)
    while each.queue.queued:
        now += 1_000.0
        for work in each.drain(now):
            handed += _handed(work)
    assert handed == expected
    assert each.queue.queued == each.queue.queued_bytes == 0


def _handed(work: Work | None) -> list[object]:
    if isinstance(work, RejectedFrame):
        return ["invalid"]
    if isinstance(work, LocalReply):
        return [work]
    if isinstance(work, PostBatch):
        assert len({message.chat for message in work.messages}) == 1
    return contexts(work)


def test_before_the_login_other_requests_are_rejected() -> None:
    each = Intake(logged_in=False)
    sent: list[dict[str, object]] = [
        {"do": "post", "chat": 1, "text": "hello"}, {"do": "account", "account": 1}, {"do": "create", "members": [2]},
        {"do": "delete"}, {"do": "status"}, {"do": "verify"}, {"do": "login", "account": 1},
        {"do": "register", "nickname": "x"},
    ]  # fmt: skip
    for number, fields in enumerate(sent):
        each.receive(frame(ref=number, **fields), NOW)
    done = each.drain()
    assert [work.failure for work in done[:4] if isinstance(work, RejectedFrame)] == [NOT_LOGGED_IN] * 4
    assert [contexts(work) for work in done[4:]] == [[4], [5], [6], [7]]


def test_a_frame_is_decoded_for_the_account_that_is_logged_in_by_then() -> None:
    each = Intake(logged_in=False)
    each.receive(frame(ref=1, do="login", account=1), NOW)
    each.receive(post(2), NOW)
    assert contexts(each.next_work(NOW)) == [1]
    each.connection.logged_in(ENTERED, AccountRequests(1, 1, NOW))
    assert contexts(each.next_work(NOW)) == [2]


def test_only_unannounced_binary_frames_count_for_the_rate() -> None:
    each = Intake(LimitsSettings(requests_per_second=1.0, requests_burst=2))
    for _ in range(1_000):
        each.receive(Binary(b"part"), NOW)
    assert len(each.drain()) == 1_000
    now = NOW + 60
    for _ in range(201):
        each.receive(Binary(b"surprise"), now)
    rejected = [each.next_work(now) for _ in range(200)]
    assert all(isinstance(work, RejectedFrame) for work in rejected)
    with pytest.raises(CloseConnection) as caught:
        each.next_work(now)
    assert caught.value.code == 1008


def test_a_frame_that_waited_too_long_is_rejected_in_its_place() -> None:
    each = Intake()
    for ref, came in ((1, NOW - 9), (2, NOW - 8), (3, NOW), (4, NOW - 9), (5, NOW)):
        each.receive(post(ref), came)
    assert each.next_work(NOW, patience=8.0) == RejectedFrame(WAITED, context=1)
    assert contexts(each.next_work(NOW, patience=8.0)) == [2, 3]
    assert each.next_work(NOW, patience=8.0) == RejectedFrame(WAITED, context=4)
    assert contexts(each.next_work(NOW, patience=8.0)) == [5]
    assert each.queue.queued_bytes == 0


def keep_up(each: Intake, *seconds: float) -> list[object]:
    """A message arrives every 0.1 s, and the batches last `seconds`, one after the other. Returns the last work."""
    now = NOW
    each.receive(post(0), now)
    each.next_work(now)
    for took in seconds:
        done = []
        for number in range(1, round(took * 10) + 1):
            each.receive(post(number), now + number / 10)
        now += took
        while (work := each.next_work(now, patience=8.0)) is not None:
            done += contexts(work) or [None]
            if isinstance(work, PostBatch):
                break
    return done


def test_after_a_stall_all_waiting_messages_are_posted() -> None:
    assert keep_up(Intake(), 0.1, 3.0) == list(range(1, 31))


def test_the_rest_of_a_stall_is_no_new_stall() -> None:
    each = Intake()
    for number in range(200):
        each.receive(post(number), NOW + number / 1000)
    each.next_work(NOW)
    assert contexts(each.next_work(NOW + 3.0)) == list(range(64, 128))
    assert contexts(each.next_work(NOW + 3.1)) == list(range(128, 192))
    assert contexts(each.next_work(NOW + 3.2)) == list(range(192, 200))


def test_behind_a_queue_that_gets_no_shorter_only_the_newest_is_posted() -> None:
    """The longer a batch lasts, the more messages are rejected. Their error replies keep the order."""
    quick, slow = keep_up(Intake(), 2.0, 1.0), keep_up(Intake(), 2.0, 2.0)
    assert quick == [*[None] * 4, *range(5, 11)]
    assert slow == [*[None] * 17, *range(18, 21)]


def test_one_quick_batch_ends_the_overload() -> None:
    assert keep_up(Intake(), 2.0, 2.0, 0.1, 2.0) == list(range(1, 21))


def test_a_pause_of_the_client_is_no_wait() -> None:
    each = Intake()
    for number in range(3):
        each.receive(post(number), NOW + 60 * number)
        assert contexts(each.next_work(NOW + 60 * number)) == [number]
    each.receive(post(4), NOW + 121)
    assert contexts(each.next_work(NOW + 124)) == [4]


def test_parts_of_a_file_may_wait() -> None:
    each = Intake()
    each.receive(Binary(b"part"), NOW - 60)
    assert each.next_work(NOW, patience=8.0) != RejectedFrame(WAITED)


def test_queued_bytes_are_counted() -> None:
    each = Intake()
    each.receive(Binary(b"part" * 100), NOW)
    each.receive(post(1), NOW)
    assert each.queue.queued_bytes == 400 + len(post(1))
    each.next_work(NOW)
    assert each.queue.queued_bytes == len(post(1))
    each.queue.close()
    assert each.queue.queued_bytes == 0


def test_a_message_that_references_media_is_a_batch_of_its_own() -> None:
    each = Intake()
    for number in (1, 2, 5):
        each.receive(post(number), NOW)
    for number in (3, 4):
        each.receive(frame(ref=number, do="cite", chat=1, id="00ff"), NOW)
    assert [contexts(work) for work in each.drain()] == [[1, 2, 5], [3], [4]]


def test_connections_of_an_account_share_its_rate() -> None:
    shared = AccountRequests(0.001, 3, NOW)
    first, second = (Intake(LimitsSettings(requests_per_second=0.001, requests_burst=100)) for _ in range(2))
    for each in (first, second):
        each.connection.logged_in(ENTERED, shared)
        each.receive(post(1), NOW)
        each.receive(post(2), NOW)
    assert [contexts(work) for work in first.drain()] == [[1, 2]]
    assert [contexts(work) for work in second.drain()] == [[1]]
    assert [contexts(work) for work in second.drain(NOW + 1_000.0)] == [[2]]


def test_paced_connections_of_an_account_get_the_same_share() -> None:
    """This holds after their bursts are used up, for any number of connections and any order of turns."""
    shared, limits = AccountRequests(50.0, 200, NOW), LimitsSettings(requests_per_second=50.0, requests_burst=200)
    connections = [Intake(limits) for _ in range(3)]
    for each in connections:
        each.connection.logged_in(ENTERED, shared)
        for number in range(1_000):
            each.receive(post(number), NOW)
    done = [0, 0, 0]
    for call in range(1, 41):
        for number, each in enumerate(connections):
            turn = sum(len(contexts(work)) for work in each.drain(NOW + call / 2))
            done[number] += turn if call > 10 else 0
    assert sum(done) == 15 * 50
    assert min(done) > 200


@pytest.mark.parametrize(("first_frame", "code"), [(b"hello", 1003), (Binary(b"{}"), 1003), (frame(x="x"), 1003)])
def test_a_first_frame_of_no_dialect_closes_the_connection(first_frame: Frame, code: int) -> None:
    each = Intake(logged_in=False, detected=False)
    with pytest.raises(CloseConnection) as caught:
        each.receive(first_frame, NOW)
    assert caught.value.code == code
    assert len(caught.value.reason.encode()) < 124


def test_the_first_frame_selects_the_dialect() -> None:
    each = Intake(logged_in=False, detected=False)
    each.receive(b'{"code": 12}', NOW)
    assert each.connection.dialect is not None
    assert each.connection.dialect.name == "ourchat-v2"
    each.receive(b"anything", NOW)
    assert [contexts(work) for work in each.drain()] == [[None], []]


def test_a_closing_connection_processes_nothing_more() -> None:
    each = Intake()
    each.receive(post(1), NOW)
    each.queue.close()
    each.receive(post(2), NOW)
    assert each.connection.phase is Phase.CLOSING
    assert each.next_work(NOW) is None
    assert each.queue.queued == 0
