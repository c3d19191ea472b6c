"""Replies are sent in the order of the requests, even if the results arrive in another order."""

from hypothesis import given
from hypothesis import strategies as st

from services.edge.canonical.commands import PostMessage
from services.edge.canonical.replies import MessageAccepted
from services.edge.client.posts import InFlight, Result
from services.edge.dialects.base import Request
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.model import Message

FAILURE = Failure(ErrorCode.UNAVAILABLE, "")


def message(number: int, body: bytes = b"") -> Message:
    return Message(ChatId(1), number, MessageId(number), AccountId(1), 0, body, Nonce(number))


def result(number: int, *, fails: bool = False) -> Result:
    return Failure(ErrorCode.FORBIDDEN, str(number)) if fails else MessageAccepted(message(number), tuple)


def batch_of(size: int) -> InFlight:
    return InFlight(
        ChatId(1), [(Request(PostMessage(ChatId(1), ()), number), Nonce(number)) for number in range(size)], 0.0
    )


@given(st.permutations(range(8)), st.sets(st.integers(0, 7)), st.integers(0, 8))
def test_results_in_any_order_make_replies_in_order(order: list[int], failing: set[int], known: int) -> None:
    batch, replies = batch_of(8), list[tuple[object, Result]]()
    for number in order[:known]:
        assert batch.awaits(message(number))
        for _ in range(2):  # even after the same result twice, there is one reply
            batch.set_result(Nonce(number), result(number, fails=number in failing))
            for request, result_ in batch.take_due():
                replies.append((request.context, result_))
        assert not batch.awaits(message(number))
        assert batch.take_due() == []
    assert [context for context, _ in replies] == list(range(len(replies)))
    replies += [(request.context, result_) for request, result_ in batch.fail_rest(FAILURE)]
    assert [context for context, _ in replies] == list(range(8))
    expected = [result(number, fails=number in failing) if number in order[:known] else FAILURE for number in range(8)]
    assert [result_ for _, result_ in replies] == expected
    assert not batch


def test_results_of_other_messages_are_ignored() -> None:
    batch = batch_of(2)
    assert not batch.awaits(message(9))
    batch.set_result(Nonce(9), result(9))
    assert batch.take_due() == []
    assert batch


def test_another_message_with_its_nonce_is_not_the_result_of_a_named_one() -> None:
    request = Request(PostMessage(ChatId(1), ()), 1)
    batch = InFlight(ChatId(1), [(request, Nonce(1))], 0.0, 0.0, {Nonce(1): b"mine"})
    assert not batch.awaits(message(1, b"another"))
    assert batch.awaits(message(1, b"mine"))
