import pytest

from services.edge.dialects.ourchat_envelope import Refusal
from services.edge.dialects.ourchat_v1.errors import REFUSALS
from shared.contract.auth import Login, Register
from shared.contract.errors import ErrorCode


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=lambda refusal: refusal.reply.name)
def test_the_tables_are_total_and_use_every_documented_state(refusal: Refusal) -> None:
    assert set(refusal.statuses) == set(ErrorCode)
    assert set(refusal.statuses.values()) - {None} == {1, 2}


def test_registration_and_login_have_states_for_failure() -> None:
    assert {kind: int(refusal.reply) for kind, refusal in REFUSALS.items()} == {Register: 5, Login: 7}
