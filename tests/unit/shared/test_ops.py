"""The operations port."""

import asyncio
import json
import platform
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

import shared.ops
from shared.dashboard.panels import Dashboard
from shared.errors import StartupError
from shared.ops import OpsServer, Phase, is_own_host
from shared.settings.servers import OpsSettings


async def fine() -> None:
    """A dependency that works."""


async def broken() -> None:
    raise ConnectionError("refused")


async def hanging() -> None:
    await asyncio.sleep(1000)


@asynccontextmanager
async def serving(
    checks: Mapping[str, Callable[[], Awaitable[None]]],
    registry: CollectorRegistry | None = None,
    dashboard: Dashboard = Dashboard("tested"),  # noqa: B008
) -> AsyncIterator[OpsServer]:
    ops = OpsServer(OpsSettings(), registry or CollectorRegistry(), checks, dashboard)
    running = asyncio.ensure_future(ops.run())
    try:
        yield ops
    finally:
        ops.stop()
        await running


async def get(ops: OpsServer, path: str, host: str = "x") -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", ops.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1]), answer.partition("\r\n\r\n")[2]


async def test_ready_when_all_answer() -> None:
    async with serving({"nats": fine, "database": fine}) as ops:
        assert await get(ops, "/readyz") == (200, '{"status":"ready"}\n')
        assert await get(ops, "/healthz") == (200, "ok\n")


async def test_not_ready_names_what_does_not_answer_and_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared.ops, "_CHECK_SECONDS", 0.1)
    async with serving({"nats": fine, "database": broken, "redis": hanging}) as ops:
        status, text = await get(ops, "/readyz")
        assert status == 503
        assert text == '{"database":"ConnectionError: refused","redis":"no answer in time"}\n'
        assert (await get(ops, "/healthz"))[0] == 200


async def test_ready_but_degraded_without_an_optional_dependency() -> None:
    ops = OpsServer(OpsSettings(), CollectorRegistry(), {"nats": fine}, Dashboard("tested"), {"redis": broken})
    running = asyncio.ensure_future(ops.run())
    assert await get(ops, "/readyz") == (200, '{"status":"ready","degraded":{"redis":"ConnectionError: refused"}}\n')
    assert 'dragoman_ready{dependency="redis"} 0.0' in (await get(ops, "/metrics"))[1]
    ops.stop()
    await running


@pytest.mark.parametrize("phase", ["starting", "draining"])
async def test_ready_only_while_it_serves(phase: Phase) -> None:
    async with serving({"nats": fine}) as ops:
        ops.phase = phase
        assert await get(ops, "/readyz") == (503, f'{{"process":"{phase}"}}\n')


async def test_metrics_are_those_of_the_registry() -> None:
    registry = CollectorRegistry()
    Counter("dragoman_tested", "Tests", registry=registry).inc()
    async with serving({}, registry) as ops:
        status, text = await get(ops, "/metrics")
        assert status == 200
        assert "dragoman_tested_total 1.0" in text
        assert (await get(ops, "/secret"))[0] == 404


async def test_the_dashboard_names_its_service_and_its_errors() -> None:
    async with serving({"nats": broken}) as ops:
        status, text = await get(ops, "/board")
        assert status == 200
        assert text.startswith('{"service":"tested","name":"","wrong":{"nats":"ConnectionError: refused"},"moments":[')


def sampled_registry() -> tuple[CollectorRegistry, asyncio.Queue[None]]:
    """A registry, and a queue that gets an item at each sample."""
    registry, sampled = CollectorRegistry(), asyncio.Queue[None]()

    def sample() -> float:
        sampled.put_nowait(None)
        return 0.0

    Gauge("looks", "Looks", registry=registry).set_function(sample)
    return registry, sampled


@pytest.mark.parametrize(("seen_seconds", "pause", "unseen_pause"), [(1000.0, 0.01, 1000.0), (-1.0, 1000.0, 0.01)])
async def test_panels_that_nobody_sees_are_sampled_less_often(
    seen_seconds: float, pause: float, unseen_pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared.ops, "_SEEN_SECONDS", seen_seconds)
    monkeypatch.setattr(shared.ops, "PERIOD_SECONDS", pause)
    monkeypatch.setattr(shared.ops, "_UNSEEN_SECONDS", unseen_pause)
    registry, sampled = sampled_registry()
    async with serving({}, registry):
        for _ in range(3):
            await sampled.get()


async def test_a_request_for_the_panels_samples_them_at_once_and_then_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared.ops, "_SEEN_SECONDS", -1.0)
    monkeypatch.setattr(shared.ops, "PERIOD_SECONDS", 1e-6)
    monkeypatch.setattr(shared.ops, "_UNSEEN_SECONDS", 1000.0)
    registry, sampled = sampled_registry()
    async with serving({}, registry) as ops:
        await sampled.get()
        assert len(json.loads((await get(ops, "/board"))[1])["moments"]) == 1
        for _ in ("in the request", "after it"):
            await sampled.get()


async def test_the_page_may_only_read_the_dashboard() -> None:
    async with serving({}) as ops:
        reader, writer = await asyncio.open_connection("127.0.0.1", ops.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head = (await reader.read()).decode().partition("\r\n\r\n")[0]
        writer.close()
        await writer.wait_closed()
        assert "content-type: text/html; charset=utf-8" in head
        assert "content-security-policy: default-src 'none';" in head
        assert "x-content-type-options: nosniff" in head


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            StartupError, match=rf"127.0.0.1:{port} cannot be opened: Address already in use. Set another"
        ):
            OpsServer(OpsSettings(port=port), CollectorRegistry(), {}, Dashboard("tested"))


async def test_version_is_a_metric() -> None:
    async with serving({}) as ops:
        _, text = await get(ops, "/metrics")
    assert f'dragoman_build_info{{python="{platform.python_version()}",version="{version("dragoman")}"}} 1.0' in text


def test_only_own_names_are_answered() -> None:
    for host, own in (
        ("127.0.0.1:9000", True), ("10.1.2.3", True), ("[::1]:9000", True), ("localhost:9000", True), ("", True),
        ("edge-7d9f:9000", True), ("auth.dragoman.svc:9000", True), ("auth.dragoman.svc.cluster.local", True),
        ("Monitor.example:9000", True), ("evil.example:9000", False), ("127.0.0.1.evil.example", False),
        ("monitor.example.evil.example", False),
    ):  # fmt: skip
        assert is_own_host(host, {"monitor.example"}) is own, host


async def test_a_page_of_a_foreign_name_reads_nothing() -> None:
    async with serving({}) as ops:
        for path in ("/metrics", "/board", "/healthz"):
            status, body = await get(ops, path, "evil.example")
            assert (status, "ops.allowed_hosts" in body) == (421, True)
            assert (await get(ops, path, f"127.0.0.1:{ops.port}"))[0] == 200
