"""A guest (a user without an account of its own) ends when its client sends QUIT."""

from types import SimpleNamespace

import pytest

from services.edge.dialects.base import Request
from services.edge.handlers.auth import AuthHandler
from shared.contract.auth import DeleteAccount
from shared.contract.routes import Ack


@pytest.mark.parametrize("is_last", [True, False])
async def test_a_guest_is_deleted_by_its_last_connection(is_last: bool) -> None:
    sent: list[object] = []
    left: list[bool] = []

    async def send(connection: object, command: object) -> Ack:
        sent.append(command)
        return Ack()

    async def is_last_of_guest() -> bool:
        return is_last

    session = SimpleNamespace(
        connection=None, is_last_of_guest=is_last_of_guest, deleted=lambda: left.append(True), is_void=False
    )
    handler = AuthHandler(*[SimpleNamespace(send=send)] * 6)  # type: ignore[arg-type]
    command = DeleteAccount(reason="Quit", of_guest=True)
    assert await handler.handle(session, Request(command), command) == Ack()  # type: ignore[arg-type]
    assert (sent, left) == (([command], [True]) if is_last else ([], []))
