import json

import pytest

from services.edge.dialects.base import DecodeError
from services.edge.dialects.json_frames import WireId
from services.edge.dialects.ourchat_envelope import check_own_account, login_command, read_envelope
from shared.contract.auth import IdentifierKind
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Scheme, Secret
from shared.settings.limits import LimitsSettings


@pytest.mark.parametrize("frame", [
    {}, {"code": 4}, {"data": {}}, {"code": "4", "data": {}}, {"code": True, "data": {}}, {"code": 4.0, "data": {}},
    {"code": 4, "data": None}, {"code": 4, "data": []}, {"code": 4, "data": "{}"}, [], None,
])  # fmt: skip
def test_code_and_data_are_required(frame: object) -> None:
    with pytest.raises(DecodeError) as rejected:
        read_envelope(json.dumps(frame).encode(), LimitsSettings())
    assert rejected.value.failure.code is ErrorCode.INVALID


def test_only_the_own_account_is_accepted() -> None:
    check_own_account(WireId(12), "ocid", AccountId(12))
    for account, code in ((AccountId(13), ErrorCode.FORBIDDEN), (NO_ACCOUNT, ErrorCode.UNAUTHENTICATED)):
        with pytest.raises(DecodeError) as rejected:
            check_own_account(WireId(12), "ocid", account, "context")
        assert (rejected.value.failure.code, rejected.value.context) == (code, "context")


@pytest.mark.parametrize(("kind", "account", "identifier"), [
    (IdentifierKind.ID, "0000000012", "12"), (IdentifierKind.ID, 12, "12"), (IdentifierKind.ID, "a@b.c", "0"),
    (IdentifierKind.ID, "9" * 60_000, "0"), (IdentifierKind.EMAIL, "a@b.c", "a@b.c"), (IdentifierKind.EMAIL, 12, "12"),
    (IdentifierKind.EMAIL, "x" * 60_000 + "@b.c", "x" * 256),
])  # fmt: skip
def test_a_login_name_becomes_an_identifier(kind: IdentifierKind, account: str | int, identifier: str) -> None:
    command = login_command(kind, account, "pw")
    assert (command.kind, command.identifier, command.secret) == (kind, identifier, Secret(Scheme.PLAIN, "pw"))


def test_a_new_error_code_needs_a_decision_for_the_statuses_of_ourchat() -> None:
    """`error_reply` gives a default status to codes that a table does not name.

    Add a new code here after it has the right status, or rightly the default, in ERROR_REPLIES of v0, v1 and v2.
    """
    assert {code.name for code in ErrorCode} == {
        "INVALID", "UNAUTHENTICATED", "FORBIDDEN", "NOT_FOUND", "CONFLICT", "LIMIT", "TOO_LARGE", "RATE_LIMITED",
        "UNAVAILABLE", "INTERNAL",
    }  # fmt: skip
