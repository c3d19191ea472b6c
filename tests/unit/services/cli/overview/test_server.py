"""Tests the port of the dashboard."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.request import urlopen

import msgspec
from prometheus_client import CollectorRegistry

from local.ports import free_port
from services.cli.overview.server import DashboardServer
from services.cli.overview.system_view import Target
from shared.dashboard.panels import Dashboard
from shared.settings.servers import NatsSettings
from tests.support.waiting import WAIT_SECONDS
from tests.unit.shared.test_ops import serving

_LARGEST_BYTES = 20_000


@asynccontextmanager
async def dashboard(*targets: Target) -> AsyncIterator[int]:
    """Runs a dashboard of these targets. Their NATS server does not exist. Yields the dashboard's port."""
    server = DashboardServer(lambda: targets, NatsSettings(url=f"nats://127.0.0.1:{free_port()}"))
    server._counted = float("inf")
    listener = socket.create_server(("127.0.0.1", 0))
    running = asyncio.create_task(server.run(listener))
    yield listener.getsockname()[1]
    server.stop()
    await running


async def get(port: int, path: str, *headers: str, method: str = "GET") -> tuple[int, str, bytes]:
    """Returns the status, the headers and the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    host = () if any(one.startswith("Host") for one in headers) else (f"Host: 127.0.0.1:{port}",)
    lines = (f"{method} {path} HTTP/1.1", "Connection: close", *host, *headers)
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), head.decode(), body


async def test_it_shows_processes_that_answer_and_those_that_do_not() -> None:
    async with serving({}, CollectorRegistry(), Dashboard("auth")) as ops:
        away = f"http://127.0.0.1:{free_port()}"
        targets = Target("auth", f"http://127.0.0.1:{ops.port}", 1), Target("edge-1", away, 0), Target("nats")
        async with dashboard(*targets) as port:
            status, _, body = await get(port, "/api/system")
    assert status == 200
    found = {one["name"]: (one["state"], one["restarts"]) for one in msgspec.json.decode(body)["processes"]}
    assert found == {"auth": ("ready", 1), "edge-1": ("no answer", 0), "nats": ("no answer", None)}


async def test_its_page_is_small_and_may_run_nothing_but_its_own() -> None:
    async with dashboard() as port:
        status, head, body = await get(port, "/")
        assert (status, b"dashboard.js" in body) == (200, True)
        assert "script-src 'self'" in head
        names = ["dashboard.js", "dashboard.css", "chart.js", "auditor.js", "format.js", "icon.svg"]
        sizes = [len((await get(port, f"/web/{name}", "Accept-Encoding: gzip"))[2]) for name in names]
    assert min(sizes) > 0
    assert sum(sizes) < _LARGEST_BYTES


async def test_it_is_alive() -> None:
    async with dashboard() as port:
        assert (await get(port, "/healthz"))[::2] == (200, b"ok\n")


async def test_it_rejects_foreign_names_other_methods_and_unknown_paths() -> None:
    async with dashboard() as port:
        assert (await get(port, "/api/system", "Host: evil.example"))[0] == 421
        assert (await get(port, "/api/system", method="POST"))[0] == 405
        assert (await get(port, "/etc/passwd"))[0] == 404


def test_sigterm_ends_the_command_in_order(tmp_path: Path) -> None:
    """Otherwise, it would be killed after the grace period of its container."""
    command = [sys.executable, "-m", "dragoman.main", "dashboard", "http://127.0.0.1:1", "--port", "0"]
    settings = ["--data", str(tmp_path), "--set", "nats.url=nats://127.0.0.1:1"]
    with subprocess.Popen([*command, *settings], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with urlopen(f"{process.stdout.readline().strip()}healthz") as reply:  # noqa: S310
            assert reply.read() == b"ok\n"
        process.terminate()
        assert process.wait(WAIT_SECONDS) == 0
