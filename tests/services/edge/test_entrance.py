"""How connections become an account's."""

import pytest

from services.edge.endpoint import Endpoint
from services.edge.socket import Hello
from shared.contract.auth import Register
from shared.contract.ids import NOBODY
from tests.services.edge.conftest import Town
from tests.services.edge.devices import Wire


@pytest.fixture(autouse=True)
def _uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here counts unread messages: do not wait for it."""
    monkeypatch.setattr("services.edge.entrance._UNREAD_SECONDS", 0.05)


def dial(endpoint: Endpoint, path: str) -> Wire:
    wire = Wire()
    wire.client = endpoint.connected(Hello(path, "chat.example", "192.0.2.1", False, (), ""), wire)
    return wire


async def ask(wire: Wire, frame: str) -> str:
    before = len(wire.received)
    wire.client.frame_received(frame.encode())
    await wire.until(lambda: len(wire.received) > before)
    return wire.received[before].decode()


@pytest.mark.parametrize(("path", "frame", "enters"), [
    ("/ws/pipe", "register|ann|right|Ann|1||1||0", False),
    ("/ws/service", '{"service_code":2,"content":{"id":"6f9619ff-8b86-4d01-b42d-00c04fc964ff","token":5}}', True),
    ("/ws/ourchat-v2", '{"code":4,"email":"ann@dragoman.test","password":"right"}', True),
])  # fmt: skip
async def test_a_registration_is_a_login_where_clients_expect_it(
    town: Town, path: str, frame: str, enters: bool
) -> None:
    edge = await town.edge()
    wire = dial(edge.endpoint, path)
    await ask(wire, frame)
    assert len(town.auth.of(Register)) == 1
    (client,) = edge.endpoint.clients.values()
    assert (client.connection.account != NOBODY) is enters


async def test_a_pipe_client_logs_in_after_its_registration(town: Town) -> None:
    wire = dial((await town.edge()).endpoint, "/ws/pipe")
    assert await ask(wire, "register|ann|right|Ann|1||1||0") == "register_succ|注册成功！"
    assert (await ask(wire, "get_unread_message|1")).startswith("get_unread_message_error|")
    assert (await ask(wire, "login|101|right")).startswith("login_succ|登录成功！|101|")
