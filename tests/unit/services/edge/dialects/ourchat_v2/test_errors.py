import json

import pytest

from services.edge.dialects.ourchat_envelope import ErrorReply
from services.edge.dialects.ourchat_v2.codes import ERROR_REPLIES
from shared.contract.errors import ErrorCode
from tests.vectors import COMMANDS

DOCUMENTED = {5: {1, 2}, 7: {1, 2}, 9: {1, 2}, 17: {1}, 20: {1, 2}}


@pytest.mark.parametrize("error_reply", ERROR_REPLIES.values(), ids=lambda error_reply: error_reply.reply.name)
def test_the_tables_are_total(error_reply: ErrorReply) -> None:
    assert set(error_reply.statuses) == set(ErrorCode)


@pytest.mark.parametrize("error_reply", ERROR_REPLIES.values(), ids=lambda error_reply: error_reply.reply.name)
def test_the_statuses_are_the_documented_ones_and_all_are_used(error_reply: ErrorReply) -> None:
    assert set(error_reply.statuses.values()) - {None} == DOCUMENTED[error_reply.reply]


def test_every_reply_with_an_error_status_has_its_table() -> None:
    assert {error_reply.reply for error_reply in ERROR_REPLIES.values()} == DOCUMENTED.keys()
    assert set(ERROR_REPLIES) <= set(COMMANDS.values())


def test_codes_are_written_as_numbers() -> None:
    assert json.dumps([error_reply.reply for error_reply in ERROR_REPLIES.values()]) == "[5, 7, 9, 17, 20]"
