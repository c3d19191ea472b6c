"""Frames beyond the limit wait only for a moment. Then they are rejected, in order with other replies."""

from services.edge.canonical.frames import Binary
from services.edge.client.inbox import TOO_FAST, RejectedFrame
from tests.unit.services.edge.client.intake import NOW, Intake, contexts, post

LIMIT = 256


def full_queue() -> Intake:
    """Returns an inbox that has received one frame more than the limit."""
    each = Intake()
    for number in range(LIMIT + 1):
        each.receive(post(number))
    assert not each.socket.reading
    return each


def test_a_full_queue_is_not_read_for_a_moment() -> None:
    each = full_queue()
    each.queue.on_timer(NOW + 1.0)
    assert not each.socket.reading
    each.queue.on_timer(NOW + 2.0)
    assert each.socket.reading


def test_frames_in_excess_are_rejected_after_the_others() -> None:
    each = full_queue()
    each.queue.on_timer(NOW + 2.0)
    for number in range(3):
        each.receive(post(number), NOW + 2.0)
    *batches, one, two, three = each.drain()
    assert sum(len(contexts(work)) for work in batches) == LIMIT + 1
    assert [one, two, three] == [RejectedFrame(TOO_FAST, context=number) for number in range(3)]


def test_frames_in_excess_take_no_bytes_and_are_bounded() -> None:
    each = full_queue()
    each.queue.on_timer(NOW + 2.0)
    stored, received = each.queue.queued_bytes, 0
    while each.socket.reading:
        each.receive(post(0), NOW + 2.0)
        received += 1
    assert each.queue.queued_bytes == stored
    assert received == 7 * LIMIT
    each.queue.on_timer(NOW + 100.0)
    assert not each.socket.reading
    each.drain()
    each.queue.on_timer(NOW + 100.0)
    assert each.socket.reading


def test_frames_are_accepted_as_soon_as_there_is_room() -> None:
    each = full_queue()
    each.queue.on_timer(NOW + 2.0)
    each.drain()
    each.receive(post(7), NOW + 2.0)
    assert contexts(each.next_work()) == [7]


def test_an_emptied_queue_leaves_frames_unread_again() -> None:
    each = full_queue()
    each.queue.on_timer(NOW + 2.0)
    each.drain()
    each.queue.on_timer(NOW + 3.0)
    for number in range(LIMIT + 1):
        each.receive(post(number), NOW + 3.0)
    each.queue.on_timer(NOW + 4.0)
    assert not each.socket.reading


def test_a_queue_that_is_refilled_again_and_again_is_behind() -> None:
    each = full_queue()
    for call in range(1, 5):
        while each.queue.queued > LIMIT / 2:
            each.next_work()
        assert each.queue.resume_reading()
        while each.socket.reading:
            each.receive(post(0), NOW + call * 0.5)
        each.queue.on_timer(NOW + call * 0.5)
    assert each.socket.reading


def test_packages_are_never_rejected() -> None:
    each = full_queue()
    each.receive(Binary(b"1"))
    each.queue.on_timer(NOW + 100.0)
    assert not each.socket.reading
    each = full_queue()
    each.queue.on_timer(NOW + 2.0)
    each.receive(Binary(b"1"), NOW + 2.0)
    assert not each.socket.reading
    assert each.queue.frames[-1] == (Binary(b"1"), NOW + 2.0)


def test_a_client_that_does_not_read_its_rejections_is_not_read() -> None:
    each = full_queue()
    each.socket.deaf = True
    each.socket.send((b"x" * 200_000,))
    each.queue.on_timer(NOW + 2.0)
    assert not each.socket.reading
    each.drain()
    each.queue.on_timer(NOW + 3.0)
    assert not each.socket.reading
    each.socket.stop_being_deaf()
    each.queue.on_timer(NOW + 4.0)
    assert each.socket.reading


def test_reading_stops_for_good() -> None:
    each = full_queue()
    each.queue.stop_reading()
    each.drain()
    each.queue.on_timer(NOW + 100.0)
    assert not each.queue.resume_reading()
    assert not each.socket.reading
