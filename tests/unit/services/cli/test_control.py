"""Sends requests to the supervisor's control port, as an edge does."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from local.ports import free_port
from local.supervisor import Child
from local.up_plan import PlannedProcess
from services.cli.control import ControlServer
from services.edge.http.first_page import NoSupervisor, request_supervisor
from shared.contract.supervision import LINE_BYTES, MessageTimes, SystemProcess, SystemRequest

TOKEN = "the-token"


class FakeChild:
    """A child that counts its kills."""

    def __init__(self) -> None:
        self.starts, self.kills = 1, 0
        self.ready = asyncio.Event()

    def fail(self) -> None:
        self.kills += 1


WAY = MessageTimes(
    index=7, trace="", accepted_by="edge-1", accepted=1, committed=2, acknowledged=3, arrivals=[], confirmed=1,
    recipients=1,
)  # fmt: skip


async def find_way(chat: int) -> MessageTimes | None:
    return WAY if chat == 5 else None


@pytest.fixture
def child() -> FakeChild:
    return FakeChild()


@pytest.fixture
async def port(child: FakeChild) -> AsyncIterator[int]:
    number = free_port()
    planned = [PlannedProcess("edge-1", "edge", 9001, 8080, 54_088)]
    children = {"nats": cast(Child, FakeChild()), "edge-1": cast(Child, child)}
    server = ControlServer(number, TOKEN, planned, children, lambda: 4.5, 8090, find_way)
    await server.start()
    yield number
    await server.close()


async def test_it_describes_the_processes(port: int, child: FakeChild) -> None:
    child.ready.set()
    state = await request_supervisor(port, SystemRequest())
    assert state.processes == [
        SystemProcess("nats", ready=False, starts=1),
        SystemProcess("edge-1", ready=True, starts=1, ops=9001, port=8080, tcp_port=54_088),
    ]
    assert (state.ready_seconds, state.error, state.dashboard) == (4.5, "", 8090)


async def test_the_token_permits_a_look_at_a_chats_last_message(port: int) -> None:
    assert (await request_supervisor(port, SystemRequest(token=TOKEN, chat=5))).way == WAY
    assert (await request_supervisor(port, SystemRequest(token=TOKEN, chat=6))).way is None
    state = await request_supervisor(port, SystemRequest(token="wrong", chat=5))
    assert (state.error, state.way) == ("token", None)


async def test_the_token_permits_a_kill(port: int, child: FakeChild) -> None:
    assert (await request_supervisor(port, SystemRequest("edge-1", TOKEN))).error == ""
    assert child.kills == 1


async def test_no_kill_without_the_token(port: int, child: FakeChild) -> None:
    for token in ("", "another", "the-tokeñ"):
        assert (await request_supervisor(port, SystemRequest("edge-1", token))).error == "token"
    assert child.kills == 0


async def test_a_process_is_named_not_numbered(port: int) -> None:
    assert (await request_supervisor(port, SystemRequest("1", TOKEN))).error == "process"


@pytest.mark.parametrize(
    "sent", [b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"x" * (LINE_BYTES + 1) + b"\n", b"[]\n", b""]
)
async def test_anything_else_gets_nothing(port: int, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    writer.write_eof()
    try:
        assert await reader.read() == b""
    except ConnectionResetError:
        pass  # the server has closed the connection before it read everything
    writer.close()


async def test_nobody_listens() -> None:
    for port in (0, free_port()):
        with pytest.raises(NoSupervisor):
            await request_supervisor(port, SystemRequest())
