"""Whatever a client sends is done and answered in the order it came."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.canonical.commands import PostMessage
from services.edge.canonical.frames import Binary, Frame
from services.edge.client.connection import (
    NOT_LOGGED_IN,
    TOO_FAST,
    WAITED,
    CloseConnection,
    Connection,
    PendingVerification,
    Phase,
    RejectedFrame,
    Work,
)
from services.edge.dialects.base import ConnectionInfo, LocalReply, Request
from services.edge.dialects.registry import DIALECTS
from services.edge.rate_limit import TokenBucket
from shared.contract.auth import Authenticated, IdentifierKind, Login, Revocation
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Scheme, Secret
from shared.settings import Limits
from tests.unit.services.edge.json_dialect import Lines, frame

NOW = 1_000.0
ENTERED = Authenticated(
    account=AccountId(1), sid="sid", token="", expires=2**31, uuid="", nickname="", revision=3
)  # fmt: skip


def connection(limits: Limits | None = None, *, logged_in: bool = True) -> Connection:
    surroundings = ConnectionInfo(limits or Limits(rates=False), "http://chat.example")
    made = Connection(5, Lines(surroundings), DIALECTS, surroundings, NOW)
    if logged_in:
        made.logged_in(ENTERED, TokenBucket(1e9, 1e9, NOW))
    return made


def post(ref: int, chat: int = 1) -> bytes:
    return frame(ref=ref, do="post", chat=chat, text="hello")


def contexts(work: Work | None) -> list[object]:
    return [request.context for request in work] if isinstance(work, list) else []


def drain(connection: Connection) -> list[Work]:
    done = []
    while (work := connection.next_work(NOW)) is not None:
        done.append(work)
    return done


@pytest.mark.parametrize(("token", "account", "seconds", "shown"), [
    ("good", 0, 100, True),
    ("good", 1, 100, True),
    ("good", 2, 100, False),
    ("good", 1, 101, False),
    ("other", 1, 100, False),
])  # fmt: skip
def test_a_token_is_good_again_in_time_for_its_account(token: str, account: int, seconds: int, shown: bool) -> None:
    each = connection()
    each.token, each.token_expires = "good", 100
    request = Request(PostMessage(ChatId(1), ()), token=token, account=AccountId(account))
    assert each.has_verified_token(request, seconds) is shown
    each.logged_out()
    assert not each.has_verified_token(request, seconds)


def test_messages_to_one_chat_make_a_run() -> None:
    each = connection()
    for number, chat in enumerate([1, 1, 2, 1], start=1):
        each.receive(post(number, chat), NOW)
    each.receive(frame(ref=5, do="account", account=1), NOW)
    each.receive(post(6), NOW)
    assert [contexts(work) for work in drain(each)] == [[1, 2], [3], [4], [5], [6]]


def test_a_run_is_bounded() -> None:
    each = connection()
    for number in range(150):
        each.receive(post(number), NOW)
    assert [len(contexts(work)) for work in drain(each)] == [64, 64, 22]


def test_what_is_put_back_comes_first() -> None:
    each = connection()
    for number in (1, 2, 3):
        each.receive(post(number), NOW)
    run = each.next_work(NOW)
    assert isinstance(run, list)
    each.receive(post(4), NOW)
    for request in reversed(run[1:]):
        each.requeue(request)
    assert [contexts(work) for work in drain(each)] == [[2, 3, 4]]


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
def test_everything_is_handed_out_once_in_the_order_it_came(kinds: list[str], turns: list[bool], burst: int) -> None:
    """Frames come and work is taken in any interleaving; beyond the burst they are over the rate, save for binary
    ones."""
    each = connection(Limits(requests_per_second=0.001, requests_burst=burst))
    expected: list[object] = []
    handed: list[object] = []
    waiting, counted = list(enumerate(kinds)), 0
    for takes in [*turns, *([False] * len(kinds))]:
        if takes:
            handed += _handed(each.next_work(NOW))
        elif waiting:
            number, kind = waiting.pop(0)
            each.receive(_frame(kind, number), NOW)
            counted += kind not in ("binary", "part")
            if kind == "part":
                expected.append(None)
            elif kind == "binary":
                expected.append("invalid")
            elif counted > burst:
                expected.append("too fast")
            elif kind == "garbage":
                expected.append("invalid")
            elif kind == "ping":
                expected.append(LocalReply((frame(re=number, ok="pong"),)))
            elif kind == "watch":
                continue
            else:
                expected += [number] * (3 if kind == "three" else 1)
    for work in drain(each):
        handed += _handed(work)
    assert handed == expected
    assert each.queued == each.queued_bytes == 0


def _handed(work: Work | None) -> list[object]:
    if isinstance(work, RejectedFrame):
        return ["too fast" if work.failure is TOO_FAST else "invalid"]
    if isinstance(work, LocalReply):
        return [work]
    if isinstance(work, list) and len(work) > 1:
        chats = {request.command.chat for request in work if isinstance(request.command, PostMessage)}
        assert len(chats) == 1
    return contexts(work)


def test_before_the_login_only_what_leads_to_it_is_done() -> None:
    each = connection(logged_in=False)
    asked: list[dict[str, object]] = [
        {"do": "post", "chat": 1, "text": "hello"}, {"do": "account", "account": 1}, {"do": "create", "members": [2]},
        {"do": "delete"}, {"do": "status"}, {"do": "verify"}, {"do": "login", "account": 1},
        {"do": "register", "nickname": "x"},
    ]  # fmt: skip
    for number, fields in enumerate(asked):
        each.receive(frame(ref=number, **fields), NOW)
    done = drain(each)
    assert [work.failure for work in done[:4] if isinstance(work, RejectedFrame)] == [NOT_LOGGED_IN] * 4
    assert [contexts(work) for work in done[4:]] == [[4], [5], [6], [7]]


def test_what_a_frame_means_depends_on_who_is_logged_in_when_its_turn_comes() -> None:
    each = connection(logged_in=False)
    each.receive(frame(ref=1, do="login", account=1), NOW)
    each.receive(post(2), NOW)
    assert contexts(each.next_work(NOW)) == [1]
    each.logged_in(ENTERED, TokenBucket(1, 1, NOW))
    assert contexts(each.next_work(NOW)) == [2]


def test_over_the_rate_is_refused_then_hung_up_on() -> None:
    each = connection(Limits(requests_per_second=1.0, requests_burst=2))
    for number in range(2):
        each.receive(post(number), NOW)
    for _ in range(200):
        each.receive(b"x" * 60_000, NOW)
    with pytest.raises(CloseConnection) as caught:
        each.receive(post(9), NOW)
    assert caught.value.code == 1008
    done = drain(each)
    assert contexts(done[0]) == [0, 1]
    assert [work.failure.code for work in done[1:] if isinstance(work, RejectedFrame)] == [ErrorCode.RATE_LIMITED] * 200


def test_binary_frames_count_only_where_nothing_announced_them() -> None:
    each = connection(Limits(requests_per_second=1.0, requests_burst=2))
    for _ in range(1_000):
        each.receive(Binary(b"part"), NOW)
    assert len(drain(each)) == 1_000
    for _ in range(201):
        each.receive(Binary(b"surprise"), NOW)
    refused = [each.next_work(NOW) for _ in range(200)]
    assert all(isinstance(work, RejectedFrame) for work in refused)
    with pytest.raises(CloseConnection) as caught:
        each.next_work(NOW)
    assert caught.value.code == 1008


def test_what_has_waited_too_long_is_refused_in_its_turn() -> None:
    each = connection()
    for ref, came in ((1, NOW - 9), (2, NOW - 8), (3, NOW)):
        each.receive(post(ref), came)
    assert each.next_work(NOW, patience=8.0) == RejectedFrame(WAITED)
    assert contexts(each.next_work(NOW, patience=8.0)) == [2, 3]
    assert each.queued_bytes == 0


def test_a_run_ends_before_what_has_waited_too_long() -> None:
    each = connection()
    for ref, came in ((1, NOW), (2, NOW - 9), (3, NOW)):
        each.receive(post(ref), came)
    assert contexts(each.next_work(NOW, patience=8.0)) == [1]
    assert each.next_work(NOW, patience=8.0) == RejectedFrame(WAITED)
    assert contexts(each.next_work(NOW, patience=8.0)) == [3]


def keep_up(each: Connection, *seconds: float) -> list[object]:
    """A message is said every tenth of a second, and a run takes so long, then the next. What is done at the end."""
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
            if isinstance(work, list):
                break
    return done


def test_after_a_stall_all_that_came_meanwhile_is_said() -> None:
    assert keep_up(connection(), 0.1, 3.0) == list(range(1, 31))


def test_what_is_left_of_a_stall_is_no_new_one() -> None:
    each = connection()
    for number in range(200):
        each.receive(post(number), NOW + number / 1000)
    each.next_work(NOW)
    assert contexts(each.next_work(NOW + 3.0)) == list(range(64, 128))
    assert contexts(each.next_work(NOW + 3.1)) == list(range(128, 192))
    assert contexts(each.next_work(NOW + 3.2)) == list(range(192, 200))


def test_behind_a_queue_that_gets_no_shorter_only_the_newest_is_said() -> None:
    """The less of it, the longer it takes; the others are refused in their turn."""
    quick, slow = keep_up(connection(), 2.0, 1.0), keep_up(connection(), 2.0, 2.0)
    assert quick == [*[None] * 4, *range(5, 11)]
    assert slow == [*[None] * 17, *range(18, 21)]


def test_whoever_is_soon_answered_again_is_not_behind_a_queue() -> None:
    assert keep_up(connection(), 2.0, 2.0, 0.1, 2.0) == list(range(1, 21))


def test_a_pause_is_no_wait() -> None:
    each = connection()
    for number in range(3):
        each.receive(post(number), NOW + 60 * number)
        assert contexts(each.next_work(NOW + 60 * number)) == [number]
    each.receive(post(4), NOW + 121)
    assert contexts(each.next_work(NOW + 124)) == [4]


def test_parts_of_a_file_may_wait() -> None:
    each = connection()
    each.receive(Binary(b"part"), NOW - 60)
    assert each.next_work(NOW, patience=8.0) != RejectedFrame(WAITED)


def test_the_bytes_that_wait_are_known() -> None:
    each = connection()
    each.receive(Binary(b"part" * 100), NOW)
    each.receive(post(1), NOW)
    assert each.queued_bytes == 400 + len(post(1))
    each.next_work(NOW)
    assert each.queued_bytes == len(post(1))
    each.close()
    assert each.queued_bytes == 0


def test_a_message_that_cites_is_looked_up_alone() -> None:
    each = connection()
    for number in (1, 2, 5):
        each.receive(post(number), NOW)
    for number in (3, 4):
        each.receive(frame(ref=number, do="cite", chat=1, id="00ff"), NOW)
    assert [contexts(work) for work in drain(each)] == [[1, 2, 5], [3], [4]]


def test_the_connections_of_an_account_share_its_rate() -> None:
    shared = TokenBucket(0.001, 3, NOW)
    first, second = (connection(Limits(requests_per_second=0.001, requests_burst=100)) for _ in range(2))
    for each in (first, second):
        each.logged_in(ENTERED, shared)
        each.receive(post(1), NOW)
        each.receive(post(2), NOW)
    assert [contexts(work) for work in drain(first)] == [[1, 2]]
    assert [contexts(work) for work in drain(second)] == [[1], []]


@pytest.mark.parametrize(
    ("first_frame", "code"),
    [(b"hello", 1003), (Binary(b"{}"), 1003), (frame(op="x"), 1003)],
)
def test_what_is_in_no_dialect_closes(first_frame: Frame, code: int) -> None:
    surroundings = ConnectionInfo(Limits(), "http://chat.example")
    each = Connection(1, None, DIALECTS, surroundings, NOW)
    with pytest.raises(CloseConnection) as caught:
        each.receive(first_frame, NOW)
    assert caught.value.code == code
    assert len(caught.value.reason.encode()) < 124


def test_the_dialect_is_told_from_the_first_frame() -> None:
    surroundings = ConnectionInfo(Limits(), "http://chat.example")
    each = Connection(1, None, DIALECTS, surroundings, NOW)
    each.receive(b'{"code": 12}', NOW)
    assert each.dialect is not None
    assert each.dialect.name == "ourchat-v2"
    each.receive(b"anything", NOW)
    assert [contexts(work) for work in drain(each)] == [[None], []]


def test_a_closing_connection_does_nothing_more() -> None:
    each = connection()
    each.receive(post(1), NOW)
    each.close()
    each.receive(post(2), NOW)
    assert each.phase is Phase.CLOSING
    assert each.next_work(NOW) is None
    assert each.queued == 0


@pytest.mark.parametrize(
    ("frames", "withheld", "at", "overdue"),
    [
        ([], False, 29, False), ([], False, 31, True), ([b"garbage"], False, 31, True),
        ([frame(do="status")], False, 899, False), ([frame(do="status")], False, 901, True),
        ([frame(do="status")], True, 901, False),
    ],
)  # fmt: skip
def test_who_does_not_log_in_is_not_kept_forever(frames: list[bytes], withheld: bool, at: float, overdue: bool) -> None:
    each = connection(logged_in=False)
    for text in frames:
        each.receive(text, NOW)
    drain(each)
    if withheld:
        login = Login(kind=IdentifierKind.ID, identifier="1", secret=Secret(Scheme.PLAIN, "x"))
        each.pending_verification = PendingVerification(Request(login), "ticket", NOW + 600)
    assert bool(each.timed_out(NOW + at, 30, 900)) == overdue
    each.logged_in(ENTERED, TokenBucket(1, 1, NOW))
    assert not each.timed_out(NOW + at, 30, 900)


def test_a_logout_leaves_the_connection_as_it_was_opened() -> None:
    each = connection()
    each.logged_out()
    each.receive(post(1), NOW)
    refusal = each.next_work(NOW)
    assert isinstance(refusal, RejectedFrame)
    assert refusal.failure is NOT_LOGGED_IN
    assert each.phase is Phase.OPENED


@pytest.mark.parametrize(
    ("revocation", "issued", "ended"),
    [
        (Revocation(4, AccountId(1), "sid", 0), None, True), (Revocation(3, AccountId(1), "sid", 0), None, False),
        (Revocation(4, AccountId(1), "other", 0), None, False), (Revocation(4, AccountId(1), "", 50), None, True),
        (Revocation(4, AccountId(1), "", 50), 49, True), (Revocation(4, AccountId(1), "", 50), 50, False),
        (Revocation(4, AccountId(1), "sid", 50), 50, True), (Revocation(3, AccountId(1), "", 50), 49, False),
    ],
)  # fmt: skip
def test_what_a_revocation_ends(revocation: Revocation, issued: int | None, ended: bool) -> None:
    """Everything of an account's, or one session; not what came after it, nor a token that is newer than it."""
    each = connection(logged_in=False)
    each.logged_in(ENTERED, TokenBucket(1, 1, NOW), issued)
    assert each.is_ended_by(revocation) == ended
