"""Each dialect has an error reply for every command that it can request and every error code."""

from itertools import product

import pytest

from services.edge.dialects.registry import Entry
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT, AccountId
from tests.unit.services.edge.dialects.driving import (
    LONG_AFTER,
    VectorCase,
    cases,
    comparable,
    connect,
    each_dialect,
    log_in,
)
from tests.vectors import ANSWERS, canonical

NOT_COMPARED = {"MessageAccepted", "VerificationNeeded"}
"""Replies that are not compared here.

MessageAccepted is compared elsewhere, and VerificationNeeded is an error reply in most dialects.
"""

ENCODED_ONCE = {"ourchat-v0", "ourchat-v2", "service", "pipe"}
"""Dialects that cache their encoded errors."""


def error_reply(case: VectorCase, failure: Failure) -> list[object]:
    dialect, request = case.make()
    frames = dialect.encode_error(request, failure)
    assert all(isinstance(frame, bytes) and frame for frame in frames)
    assert frames or case.is_own or dialect.follow_ups
    return [comparable(frame) for frame in frames]


def successes(case: VectorCase) -> list[list[object]]:
    shown = []
    for reply in case.expected.replies:
        if reply.answer is not None and not reply.answer.keys() & NOT_COMPARED:
            dialect, request = case.make()
            frames = dialect.encode_reply(request, canonical(reply.answer, ANSWERS), LONG_AFTER)
            shown.append([comparable(frame) for frame in frames])
    return shown


@each_dialect
def test_every_command_can_fail_with_every_error(entry: Entry) -> None:
    """The client gets an error reply that does not look like a success, or the dialect sends another request.

    If the dialect itself made the request, the client need not get the error.
    """
    for case in cases(entry):
        done = successes(case)
        for code, text in product(ErrorCode, ("because", "")):
            rejected = error_reply(case, Failure(code, text))
            assert not rejected or rejected not in done, (case.expected.command, code)


@pytest.mark.parametrize("account", [NO_ACCOUNT, AccountId(12)])
@each_dialect
def test_an_undecodable_frame_can_fail_with_every_error(entry: Entry, account: AccountId) -> None:
    dialect = connect(entry)
    if account != NO_ACCOUNT:
        log_in(dialect, account)
    assert all(dialect.encode_error(None, Failure(code, "because")) for code in ErrorCode)


@each_dialect
def test_equal_errors_are_encoded_alike_and_cached_by_some(entry: Entry) -> None:
    """The cache is important under overload. A dialect that writes the time into its errors cannot have a cache."""
    one, other = (connect(entry).encode_error(None, Failure(ErrorCode.UNAVAILABLE, "too much")) for _ in range(2))
    assert one == other
    if entry.name in ENCODED_ONCE:
        assert one is other
