import pytest

from services.edge.dialects.ourchat_envelope import ErrorReply
from services.edge.dialects.ourchat_v1.frames import ERROR_REPLIES
from shared.contract.auth import Login, Register
from shared.contract.errors import ErrorCode


@pytest.mark.parametrize("error_reply", ERROR_REPLIES.values(), ids=lambda error_reply: error_reply.reply.name)
def test_the_tables_are_total_and_use_every_documented_state(error_reply: ErrorReply) -> None:
    assert set(error_reply.statuses) == set(ErrorCode)
    assert set(error_reply.statuses.values()) - {None} == {1, 2}


def test_registration_and_login_have_error_states() -> None:
    assert {kind: int(error_reply.reply) for kind, error_reply in ERROR_REPLIES.items()} == {Register: 5, Login: 7}
