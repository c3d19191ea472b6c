import json

import pytest

from services.edge.canonical.commands import Command
from services.edge.dialects.ourchat_envelope import ErrorReply
from services.edge.dialects.ourchat_v2.errors import ERROR_REPLIES
from shared.contract.errors import ErrorCode

DOCUMENTED = {5: {1, 2}, 7: {1, 2}, 9: {1, 2}, 17: {1}, 20: {1, 2}}


@pytest.mark.parametrize("refusal", ERROR_REPLIES.values(), ids=lambda refusal: refusal.reply.name)
def test_the_tables_are_total(refusal: ErrorReply) -> None:
    assert set(refusal.statuses) == set(ErrorCode)


@pytest.mark.parametrize("refusal", ERROR_REPLIES.values(), ids=lambda refusal: refusal.reply.name)
def test_the_statuses_are_the_documented_ones_and_all_are_used(refusal: ErrorReply) -> None:
    assert set(refusal.statuses.values()) - {None} == DOCUMENTED[refusal.reply]


def test_every_reply_that_has_a_status_for_failure_has_its_table() -> None:
    assert {refusal.reply for refusal in ERROR_REPLIES.values()} == DOCUMENTED.keys()
    assert set(ERROR_REPLIES) <= set(Command.__args__)


def test_codes_are_written_as_numbers() -> None:
    assert json.dumps([refusal.reply for refusal in ERROR_REPLIES.values()]) == "[5, 7, 9, 17, 20]"
