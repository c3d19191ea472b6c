import pytest

from services.edge.dialects.ourchat_envelope import ErrorReply
from services.edge.dialects.ourchat_v1.errors import ERROR_REPLIES
from shared.contract.auth import Login, Register
from shared.contract.errors import ErrorCode


@pytest.mark.parametrize("refusal", ERROR_REPLIES.values(), ids=lambda refusal: refusal.reply.name)
def test_the_tables_are_total_and_use_every_documented_state(refusal: ErrorReply) -> None:
    assert set(refusal.statuses) == set(ErrorCode)
    assert set(refusal.statuses.values()) - {None} == {1, 2}


def test_registration_and_login_have_states_for_failure() -> None:
    assert {kind: int(refusal.reply) for kind, refusal in ERROR_REPLIES.items()} == {Register: 5, Login: 7}
