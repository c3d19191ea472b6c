"""The error replies of OurChat have a status for each error code. Their statuses are those of the documents."""

from collections.abc import Mapping

import pytest

from services.edge.dialects.ourchat_envelope import ErrorReply
from services.edge.dialects.ourchat_v0.codes import ERROR_REPLIES as V0
from services.edge.dialects.ourchat_v1.frames import ERROR_REPLIES as V1
from services.edge.dialects.ourchat_v2.codes import ERROR_REPLIES as V2
from shared.contract.auth import DeleteAccount, Login, Register
from shared.contract.errors import ErrorCode
from shared.contract.session import CreateChat, SetProfile

DOCUMENTED: Mapping[object, tuple[int, set[int]]] = {
    Register: (5, {1, 2}), Login: (7, {1, 2}), CreateChat: (9, {1, 2}), DeleteAccount: (17, {1}),
    SetProfile: (20, {1, 2}),
}  # fmt: skip
"""The code and the statuses of the reply to each command in version 2."""


@pytest.mark.parametrize(
    ("replies", "documented"),
    [
        (V0, {Register: (5, {1}), Login: (7, {1})}),
        (V1, {command: DOCUMENTED[command] for command in (Register, Login)}),
        (V2, DOCUMENTED),
    ],
)
def test_every_error_code_has_a_documented_status(
    replies: Mapping[object, ErrorReply], documented: Mapping[object, tuple[int, set[int]]]
) -> None:
    statuses = {command: (one.reply, set(one.statuses.values()) - {None}) for command, one in replies.items()}
    assert statuses == documented
    assert all(set(one.statuses) == set(ErrorCode) for one in replies.values())
