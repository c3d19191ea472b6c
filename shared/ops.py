"""The operations port of a service: `/healthz` (alive), `/readyz` (dependencies work, not draining), `/metrics`,
`/board` (dashboard data) and `/`, the status page that shows these data live."""

import asyncio
import base64
import hashlib
import platform
import re
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Literal

import msgspec
import uvicorn
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.addresses import host_name, is_address
from shared.clock import until_next
from shared.dashboard.history import PERIOD_SECONDS, PanelHistory, take_sample
from shared.dashboard.panels import Dashboard
from shared.dashboard.sampler import EventLoopMetrics
from shared.errors import StartupError
from shared.listening import listen
from shared.settings.servers import OpsSettings
from shared.tasks import Tasks, is_set_within
from shared.telemetry import log
from shared.version import VERSION

_log = log(__name__)

PAGE = Path(__file__).parent / "dashboard" / "page.html"
_CLUSTER_NAMES = (".svc", ".cluster.local", ".localhost", ".internal", ".local")

Check = Callable[[], Awaitable[None]]
"""Uses a dependency as the service does, and raises an exception if this fails."""

Phase = Literal["starting", "serving", "draining"]

_SEEN_SECONDS = 60.0
"""For this time after the start and after a request, the panels count as seen."""
_UNSEEN_SECONDS = 30.0
"""The pause between two samples of panels that nobody sees, because a sample is a third of the work of an idle
process."""


class OpsServer:
    """The operations port. Each check uses a dependency. The process is ready if all checks of required dependencies
    succeed within two seconds. If an `optional` dependency fails, the process is ready, and reports that it is
    degraded. The constructor opens the port, and raises StartupError if this fails."""

    def __init__(
        self,
        settings: OpsSettings,
        registry: CollectorRegistry,
        checks: Mapping[str, Check],
        dashboard: Dashboard,
        optional: Mapping[str, Check] | None = None,
    ) -> None:
        self._registry = registry
        self._allowed_hosts = frozenset(name.lower() for name in settings.allowed_hosts)
        self._readiness = Readiness(registry, checks, optional)
        self._loop_metrics = EventLoopMetrics(registry)
        build = Gauge("dragoman_build_info", "Version, always 1", ["version", "python"], registry=registry)
        build.labels(VERSION, platform.python_version()).set(1)
        Gauge("dragoman_clock_seconds", "The wall clock, Unix time", registry=registry).set_function(time.time)
        self._dashboard = dashboard
        self._history = PanelHistory(dashboard)
        self._sampled = self._seen = time.monotonic()
        """When the panels were last sampled, and when they were last requested."""
        self._is_seen = asyncio.Event()
        self._page = PAGE.read_text(encoding="utf-8")
        self._policy = policy_of(self._page)
        self.phase: Phase = "serving"
        """A process is ready only while it serves."""
        self._server = PageServer(self._app)
        self._listeners = _listen(settings)

    @property
    def port(self) -> int:
        port: int = self._listeners[0].getsockname()[1]
        return port

    async def run(self) -> None:
        """Serves until cancelled or stopped."""
        watching = Tasks()
        with ExitStack() as listening:
            for listener in self._listeners:
                listening.enter_context(listener)
            _log.info("operations port opened", port=self.port)
            watching.start(self._loop_metrics.watch(), "event loop")
            watching.start(self._sample_history(), "history")
            watching.start(self._readiness.watch(), "readiness")
            try:
                await self._server.serve(sockets=self._listeners)
            finally:
                await watching.close()
                await self._readiness.close()

    def stop(self) -> None:
        self._server.stop()

    async def _sample_history(self) -> None:
        while True:
            self._sample()
            if time.monotonic() > self._seen + _SEEN_SECONDS:
                self._is_seen.clear()
                if not await is_set_within(self._is_seen, until_next(_UNSEEN_SECONDS)):
                    continue
            await asyncio.sleep(until_next(PERIOD_SECONDS))

    def _sample(self) -> None:
        self._sampled = time.monotonic()
        self._history.add(take_sample(self._dashboard, self._registry, time.time(), self._sampled))

    async def _panels(self) -> bytes:
        """The panels up to now. They are sampled every two seconds as long as they are requested."""
        wrong, degraded = await self.readiness(), await self._readiness.degradations()
        self._seen = time.monotonic()
        self._is_seen.set()
        if self._seen > self._sampled + PERIOD_SECONDS:
            self._sample()
        return msgspec.json.encode(self._history.show(wrong, VERSION, degraded))

    async def readiness(self) -> dict[str, str]:
        """The error of each failed dependency by its name; empty if the process is ready."""
        wrong = {} if self.phase == "serving" else {"process": self.phase}
        return wrong | await self._readiness.failures()

    async def _describe_readiness(self) -> tuple[int, bytes]:
        """The status and the body of the reply to `/readyz`."""
        if wrong := await self.readiness():
            return 503, msgspec.json.encode(wrong) + b"\n"
        degraded = await self._readiness.degradations()
        state = {"status": "ready"} | ({"degraded": degraded} if degraded else {})
        return 200, msgspec.json.encode(state) + b"\n"

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if is_own_host(Headers(scope=scope).get("host", ""), self._allowed_hosts):
            response = await self._respond(scope["path"])
        else:
            response = PlainTextResponse("this host name is not allowed: see ops.allowed_hosts\n", 421)
        response.headers.update({"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"})
        await response(scope, receive, send)

    async def _respond(self, path: str) -> Response:
        match path:
            case "/healthz":
                return PlainTextResponse("ok\n")
            case "/readyz":
                status, body = await self._describe_readiness()
                return PlainTextResponse(body, status)
            case "/metrics":
                return Response(generate_latest(self._registry), media_type="text/plain; version=0.0.4; charset=utf-8")
            case "/board":
                return Response(await self._panels(), media_type="application/json")
            case "/":
                return HTMLResponse(self._page, headers={"Content-Security-Policy": self._policy})
        return PlainTextResponse("not found: try /, /healthz, /readyz or /metrics\n", 404)


class PageServer(uvicorn.Server):
    """Serves an ASGI app without WebSocket and without logs, and leaves signals to its process. It parses HTTP with
    h11, which limits the size of all that is not the body, and does not treat trailers as headers."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app, http="h11", log_config=None, access_log=False, lifespan="off", ws="none", interface="asgi3",
                timeout_graceful_shutdown=1, date_header=False,
            )
        )  # fmt: skip
        self.capture_signals = nullcontext  # type: ignore[assignment,method-assign]
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        """Wait for `stop`. This replaces the library's own loop. That loop would check ten times a second whether to
        stop, and renew a date header, which is a third of the work of an idle process."""
        await self.on_tick(0)
        await self._stopping.wait()


def is_own_host(header: str, allowed: Collection[str]) -> bool:
    """Whether a Host header names this port. Other names are rejected. Otherwise, a web page could make its own domain
    resolve to this machine, and then read the pages of the port. It cannot do this with an address or with a name that
    public DNS lacks."""
    name = host_name(header)
    return "." not in name or name in allowed or name.endswith(_CLUSTER_NAMES) or is_address(name)


def _listen(settings: OpsSettings) -> list[socket.socket]:
    try:
        return listen(settings.host, settings.port)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        reason = error.strerror or error
        raise StartupError(
            f"the operations port {where} cannot be opened: {reason}", "Set another by ops.host and ops.port"
        ) from error


_CHECK_SECONDS = 2.0
_ABANDONED_SECONDS = 30.0
"""If a check runs for this long, a new one begins."""
_VALID_SECONDS = 1.0
_INTERVAL_SECONDS = 10.0


class Readiness:
    """The process is ready when all `required` dependencies work. If an `optional` dependency fails, the process works
    with restrictions."""

    def __init__(
        self, registry: CollectorRegistry, required: Mapping[str, Check], optional: Mapping[str, Check] | None = None
    ) -> None:
        self._works = Gauge(
            "dragoman_ready", "Whether a dependency works (1) or not (0)", ["dependency"], registry=registry
        )
        self._tasks = Tasks()
        self._required = self._probes(required)
        self._optional = self._probes(optional or {})

    def _probes(self, checks: Mapping[str, Check]) -> "dict[str, _Probe]":
        return {name: _Probe(name, check, self._works.labels(name), self._tasks) for name, check in checks.items()}

    async def failures(self) -> dict[str, str]:
        """The error of each required dependency that does not work."""
        return await _failures(self._required)

    async def degradations(self) -> dict[str, str]:
        """The error of each optional dependency that does not work."""
        return await _failures(self._optional)

    async def watch(self) -> None:
        """Update the metric, until it is cancelled."""
        while True:
            await asyncio.gather(self.failures(), self.degradations())
            await asyncio.sleep(until_next(_INTERVAL_SECONDS))

    async def close(self) -> None:
        await self._tasks.close()


class _Probe:
    """The check of one dependency. A success is valid for a moment, and simultaneous requests share one check. A slow
    check is not cancelled, because nats-py stops reading when the reply to a cancelled request arrives."""

    def __init__(self, name: str, check: Check, works: Gauge, tasks: Tasks) -> None:
        self._name = name
        self._check = check
        self._works = works
        self._tasks = tasks
        self._running: asyncio.Task[None] | None = None
        self._started = 0.0
        self._valid_until = 0.0
        self._error = ""

    async def error(self) -> str:
        """The error of the dependency; empty if it works."""
        now = time.monotonic()
        if self._running is None or self._running.done() or now - self._started > _ABANDONED_SECONDS:
            if now < self._valid_until:
                return self._error
            self._started = now
            self._running = self._tasks.start(self._run(), f"check {self._name}")
        running = self._running
        await asyncio.wait({running}, timeout=_CHECK_SECONDS)
        if running.done():
            return self._error
        self._works.set(0)
        return "no answer in time"

    async def _run(self) -> None:
        error = ""
        try:
            await self._check()
        except TimeoutError:
            error = "no answer in time"
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
        self._error = error
        self._valid_until = 0.0 if error else time.monotonic() + _VALID_SECONDS
        self._works.set(not error)


async def _failures(probes: Mapping[str, _Probe]) -> dict[str, str]:
    errors = await asyncio.gather(*(probe.error() for probe in probes.values()))
    return {name: error for name, error in zip(probes, errors, strict=True) if error}


def policy_of(page: str) -> str:
    """The Content-Security-Policy of a page, which permits only the page's own scripts and styles."""
    return (
        f"default-src 'none'; connect-src 'self'; script-src {_hash(page, 'script')}; style-src {_hash(page, 'style')};"
        " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash(text: str, element: str) -> str:
    content = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
    assert len(content) == 1, element
    return f"'sha256-{base64.b64encode(hashlib.sha256(content[0].encode()).digest()).decode()}'"
