"""Each dialect's table of failures is total: every command it can ask for, every reason there is."""

from itertools import product

import pytest

from services.edge.dialects.registry import Entry
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT, AccountId
from tests.unit.services.edge.dialects.driving import (
    FILES,
    LONG_AFTER,
    connect,
    each_dialect,
    given,
    log_in,
    only_request,
    seen,
)
from tests.vectors import ANSWERS, COMMANDS, Vector, canonical, wire

NO_SUCCESSES = {"MessageAccepted", "VerificationNeeded"}
"""The one is shown elsewhere, the other is a refusal in most dialects."""

WORDED_ONCE = {"ourchat-v0", "ourchat-v2", "service", "pipe"}


def refusals(entry: Entry, vector: Vector, failure: Failure) -> list[object]:
    dialect = given(entry, vector.given)
    request = only_request(dialect, wire(vector.frame))
    frames = dialect.encode_error(request, failure)
    assert all(isinstance(frame, bytes) and frame for frame in frames)
    return [seen(frame) for frame in frames]


def successes(entry: Entry, vector: Vector) -> list[list[object]]:
    shown = []
    for reply in vector.replies:
        if reply.answer is not None and not reply.answer.keys() & NO_SUCCESSES:
            dialect = given(entry, vector.given)
            request = only_request(dialect, wire(vector.frame))
            frames = dialect.encode_reply(request, canonical(reply.answer, ANSWERS), LONG_AFTER)
            shown.append([seen(frame) for frame in frames])
    return shown


@pytest.mark.parametrize("command", COMMANDS)
@each_dialect
def test_every_command_can_be_refused_for_every_reason(entry: Entry, command: str) -> None:
    """In words that are none of a success; or the dialect has no frame for the command, and says so."""
    file = FILES[entry.name]
    asking = [vector for vector in file.vectors if vector.command and command in vector.command]
    assert bool(asking) != (command in file.lacks)
    for vector in asking:
        done = successes(entry, vector)
        for code, text in product(ErrorCode, ("because", "")):
            refused = refusals(entry, vector, Failure(code, text))
            assert refused
            assert refused not in done


@pytest.mark.parametrize("account", [NO_ACCOUNT, AccountId(12)])
@each_dialect
def test_a_frame_that_is_not_understood_can_be_refused_for_every_reason(entry: Entry, account: AccountId) -> None:
    dialect = connect(entry)
    if account != NO_ACCOUNT:
        log_in(dialect, account)
    assert all(dialect.encode_error(None, Failure(code, "because")) for code in ErrorCode)


@each_dialect
def test_what_is_refused_in_the_same_words_is_worded_once(entry: Entry) -> None:
    """Where much is refused at once; unless a refusal bears the time."""
    one, other = (connect(entry).encode_error(None, Failure(ErrorCode.UNAVAILABLE, "too much")) for _ in range(2))
    assert one == other
    assert (one is other) == (entry.name in WORDED_ONCE)
