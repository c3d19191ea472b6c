"""Answers leave in the order of what was said, whatever order the results come in."""

from hypothesis import given
from hypothesis import strategies as st

from services.edge.canonical.commands import PostMessage
from services.edge.canonical.replies import MessageAccepted
from services.edge.dialects.base import Request
from services.edge.upstream.in_flight import InFlight, Result
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.model import Message

FAILURE = Failure(ErrorCode.UNAVAILABLE, "")


def result(number: int, *, fails: bool = False) -> Result:
    if fails:
        return Failure(ErrorCode.FORBIDDEN, str(number))
    message = Message(ChatId(1), number, MessageId(number), AccountId(1), 0, b"", Nonce(number))
    return MessageAccepted(message, ())


def run_of(size: int) -> InFlight:
    return InFlight(
        ChatId(1), [(Request(PostMessage(ChatId(1), ()), number), Nonce(number)) for number in range(size)], 0.0
    )


@given(st.permutations(range(8)), st.sets(st.integers(0, 7)), st.integers(0, 8))
def test_results_in_any_order_are_answers_in_order(order: list[int], failing: set[int], known: int) -> None:
    run, answers = run_of(8), list[tuple[object, Result]]()
    for number in order[:known]:
        assert run.awaits(Nonce(number))
        for _ in range(2):  # told twice, it is answered once
            run.set_result(Nonce(number), result(number, fails=number in failing))
            for request, outcome in run.ready():
                answers.append((request.context, outcome))
        assert not run.awaits(Nonce(number))
    assert [context for context, _ in answers] == list(range(len(answers)))
    answers += [(request.context, outcome) for request, outcome in run.fail_rest(FAILURE)]
    assert [context for context, _ in answers] == list(range(8))
    expected = [result(number, fails=number in failing) if number in order[:known] else FAILURE for number in range(8)]
    assert [outcome for _, outcome in answers] == expected
    assert not run


def test_what_is_not_of_the_run_is_left_alone() -> None:
    run = run_of(2)
    assert not run.awaits(Nonce(9))
    run.set_result(Nonce(9), result(9))
    assert run.ready() == []
    assert run
