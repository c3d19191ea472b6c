"""`dragoman up` runs the whole system on one machine, in one terminal."""

import asyncio
import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from sqlalchemy.exc import SQLAlchemyError

from local import nats, probes, valkey
from local.atomic_file import write_private
from local.data import Run, RunningProcess, run_file, write_run
from local.fork_server import ForkServer
from local.output import Output
from local.probes import reachable
from local.process_group import ProcessGroup
from local.supervisor import Child, CrashLoop, Program
from local.up_plan import SERVICES, PlannedProcess, UpPlan, authority
from services.cli.control import ControlServer
from services.cli.databases import check_together, make_together
from services.cli.overview.system_view import Target
from services.cli.streams import JetStreamMonitor, NotReachable, provision
from shared.contract.auth import DeleteAccount
from shared.contract.errors import RequestError
from shared.contract.subjects import DELETE_USER
from shared.contract.supervision import MessageTimes
from shared.errors import StartupError
from shared.process import cancel_on
from shared.settings import Settings
from shared.settings.servers import NatsSettings
from shared.tasks import Tasks

if TYPE_CHECKING:
    from services.cli.overview.server import DashboardServer

_WATCHDOG_CHECK_SECONDS = 1.0
_SERVICE_STOP_SECONDS = 10.0
_NATS_STOP_SECONDS = 2.0
_VERSION_SECONDS = 5.0
_TOKEN_BYTES = 16
_VISITORS_DOMAIN = "first-page.invalid"
"""The domain of the e-mail addresses of the first page's visitors (web/setup.js)."""
_VISITORS_SECONDS = 5.0
"""The longest time that the end waits for the deletion of visitors. The next end deletes the accounts that are left."""
_OPTIONAL = "search"
"""No other process waits for this process."""


async def run(
    plan: UpPlan,
    group: ProcessGroup,
    fork_server: ForkServer | None,
    output: Output,
    version: str,
    migrated: Callable[[], list[str]],
) -> int:
    """Serve until a signal arrives. Returns the exit status: 0 after an orderly end, 1 if a part could not be started.
    `migrated` waits until the databases are upgraded; see `migrate`."""
    stopping = asyncio.Event()
    house = _SystemStack(plan, group, fork_server, output, stopping, migrated)
    for number in _ending_signals():
        asyncio.get_running_loop().add_signal_handler(number, house.end)
    try:
        output.line(f"dragoman {version}, data in {plan.settings.data}")
        await cancel_on(stopping, house.open())
        await stopping.wait()
    except (OSError, CrashLoop, NotReachable) as error:
        house.failure = str(error)
    finally:
        await house.close()
    if house.failure:
        output.line(f"error: {house.failure}")
    return 1 if house.failure else 0


def migrate(settings: Settings) -> list[str]:
    """Upgrade the databases. Returns a report. Raises CrashLoop."""
    # imported here, because Alembic takes memory, and only this function needs it
    from services.cli.migrations import migrate_service

    lines: list[str] = []
    what = "the databases"
    try:
        check_together(settings)
        for service in SERVICES:
            what = f"the database of {service}"
            lines += migrate_service(service, settings)
        make_together(settings)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).splitlines()[0]
        raise CrashLoop(f"{what} cannot be migrated: {reason}. Correct database.url, or start it") from error
    except StartupError as error:
        raise CrashLoop(str(error)) from error
    return lines


def _dashboard_server() -> "type[DashboardServer]":
    from services.cli.overview.server import DashboardServer

    return DashboardServer


def _ending_signals() -> list[signal.Signals]:
    """The signals that end the system. SIGHUP ends the system, unless the command runs under `nohup`."""
    hung_up = [signal.SIGHUP] if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN else []
    return [signal.SIGINT, signal.SIGTERM, *hung_up]


class _SystemStack:
    """All child processes. First the servers start, then the services and the edges. They stop in the reverse order."""

    def __init__(
        self,
        plan: UpPlan,
        group: ProcessGroup,
        fork_server: ForkServer | None,
        output: Output,
        stopping: asyncio.Event,
        migrated: Callable[[], list[str]],
    ) -> None:
        self.failure = ""
        self._plan = plan
        self._directory = plan.settings.data
        self._migrated = migrated
        self._group = group
        self._output = output
        self._stopping = stopping
        self._children: dict[str, Child] = {}
        self._tasks = Tasks()
        self._run_written = True
        self._fork_server = fork_server
        self._started, self._ready_seconds = time.monotonic(), 0.0
        self._kill_token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._control = ControlServer(
            plan.control_port,
            self._kill_token,
            plan.processes,
            self._children,
            lambda: self._ready_seconds,
            plan.linked_dashboard,
            self._find_way,
        )
        self._dashboard: DashboardServer | None = None
        self._versions: dict[str, str] = {}
        """The versions of the embedded servers, which have no status page."""

    def end(self) -> None:
        """Handle a signal. The first signal starts an orderly shutdown, and the second signal kills all children."""
        if self._stopping.is_set():
            for child in self._children.values():
                child.kill()
        self._stopping.set()

    async def open(self) -> None:
        self._write_run()
        self._tasks.start(self._keep_watchdog(), "watchdog")
        if self._plan.first_page:
            await self._control.start()
        migrating = asyncio.create_task(asyncio.to_thread(self._migrated), name="migrate")
        try:
            await self._ready(self._start(program) for program in self._servers())
            edges = [self._start(self._program(part)) for part in self._plan.edges]
            await provision(self._plan.setup)
            for line in await migrating:
                self._output.line(line)
            if self._plan.nats_port:
                self._tasks.start(self._jetstream_monitor().run(), "jetstream")
        finally:
            migrating.cancel()
        services = [self._start(self._program(part)) for part in self._plan.processes if part.service != "edge"]
        await self._ready([*edges, *(child for child in services if child.program.name != _OPTIONAL)])
        self._ready_seconds = round(time.monotonic() - self._started, 1)
        self._announce()
        if self._plan.dashboard_port:
            listener = socket.create_server(("127.0.0.1", self._plan.dashboard_port))
            self._tasks.start(self._serve_dashboard(listener), "dashboard")

    async def close(self) -> None:
        self._stopping.set()
        if self._dashboard is not None:
            self._dashboard.stop()
        await self._control.close()
        await self._stop_children(self._names("edge"))
        # When visitors are erased, their pages reload. The edges end first, so that no page reloads from an edge that
        # is about to end.
        if self._ready_seconds and self._plan.first_page:
            if line := await _erase_visitors(self._plan.settings.database_url("auth"), self._plan.nats("admin")):
                self._output.line(line)
        await self._stop_children(self._names(*SERVICES, _OPTIONAL))
        await self._stop_children(["nats", "valkey"])
        await self._tasks.close()
        if self._fork_server is not None:
            self._fork_server.close()
        run_file(self._directory).unlink(missing_ok=True)

    async def _stop_children(self, names: Iterable[str]) -> None:
        await asyncio.gather(*(self._children[name].stop() for name in names if name in self._children))

    def _start(self, program: Program) -> Child:
        child = Child(program, self._group, self._output, self._process_changed, self._fork_server)
        self._children[program.name] = child
        self._tasks.start(self._supervise(child), program.name)
        return child

    async def _supervise(self, child: Child) -> None:
        try:
            await child.run()
        except (CrashLoop, OSError) as error:
            if child.program.name == _OPTIONAL:
                self._output.line(f"{error}: the system runs without it")
                return
            self.failure = self.failure or str(error)
            self._stopping.set()

    async def _keep_watchdog(self) -> None:
        while True:
            await asyncio.sleep(_WATCHDOG_CHECK_SECONDS)
            with contextlib.suppress(OSError):
                self._group.ensure_watchdog()
            if not self._run_written:
                self._update_run()

    async def _ready(self, children: Iterable[Child]) -> None:
        await asyncio.gather(*(child.ready.wait() for child in children))

    def _servers(self) -> list[Program]:
        """The embedded servers, with their configuration written."""
        programs = []
        if port := self._plan.nats_port:
            folder = self._directory / "nats"
            config = folder / "nats.conf"
            write_private(config, nats.configuration(port, folder / "store", self._plan.credentials.nats))
            shared = nats.environment(os.environ, os.cpu_count() or 1)
            programs.append(Program("nats", nats.command(config), probes.listens(port), shared, hides=nats.NOISE))
        if port := self._plan.valkey_port:
            folder = self._directory / "valkey"
            config, access = folder / "valkey.conf", folder / "users.acl"
            write_private(access, valkey.access(self._plan.credentials.valkey))
            write_private(config, valkey.configuration(port, folder, access))
            programs.append(Program("valkey", valkey.command(config), probes.listens(port), hides=valkey.NOISE))
        return programs

    def _program(self, part: PlannedProcess) -> Program:
        drain = self._plan.settings.edge.drain_seconds if part.service == "edge" else 0.0
        return Program(
            part.name,
            part.command,
            probes.answers_ready(self._plan.settings.ops.host, part.ops),
            environment=self._plan.environment(part),
            stop_seconds=_SERVICE_STOP_SECONDS + drain,
            batch_priority=part.service == "message",
        )

    async def _serve_dashboard(self, listener: socket.socket) -> None:
        """Starts the dashboard when all processes are ready. Its libraries are imported in a thread at that time,
        because they would delay the start. Browsers wait meanwhile."""
        with listener:
            server = await asyncio.to_thread(_dashboard_server)
            for name in (name for name in ("nats", "valkey") if name in self._children):
                self._versions[name] = await asyncio.to_thread(version_of, self._children[name].program.command[0])
            self._dashboard = server(self._targets, self._plan.nats("dashboard"), self._plan.settings.ops.allowed_hosts)
            await self._dashboard.run(listener)

    async def _find_way(self, chat: int) -> MessageTimes | None:
        """The times on the path of the chat's last message; None while there is no dashboard. Finding the message needs
        the libraries of the dashboard."""
        return await self._dashboard.last_message_of(chat) if self._dashboard is not None else None

    def _targets(self) -> list[Target]:
        """All child processes, for the dashboard."""
        host = self._plan.settings.ops.host
        pages = {part.name: f"http://{authority(reachable(host), part.ops)}" for part in self._plan.processes}
        return [
            Target(
                name, pages.get(name, ""), max(0, child.starts - 1), child.ready.is_set(), self._versions.get(name, "")
            )
            for name, child in self._children.items()
        ]

    def _names(self, *services: str) -> list[str]:
        return [part.name for part in self._plan.processes if part.service in services]

    def _jetstream_monitor(self) -> JetStreamMonitor:
        async def restart() -> None:
            await self._children["nats"].end(_NATS_STOP_SECONDS)

        def report(text: str) -> None:
            self._output.of("nats", text.encode())

        return JetStreamMonitor(self._plan.setup, self._directory / "nats", restart, report)

    def _process_changed(self) -> None:
        """Makes edges end first if this process is killed. Edges still report to the message service which messages
        their clients have received."""
        edges = [self._children[name].pid for name in self._names("edge") if name in self._children]
        self._group.end_first(filter(None, edges))
        self._update_run()

    def _update_run(self) -> None:
        """Writes `run.json` for a changed child. A full disk must not end the system; the loop of the watchdog then
        writes the file later."""
        try:
            self._write_run()
        except OSError as error:
            if self._run_written:
                self._output.line(f"run.json cannot be written, will retry: {error.strerror}")
            self._run_written = False
        else:
            self._run_written = True

    def _write_run(self) -> None:
        """Write `run.json`, by which other commands find the current processes."""
        ports = {part.name: (part.ops, part.port) for part in self._plan.processes}
        processes = [
            RunningProcess(name, child.pid, *ports.get(name, (0, 0))) for name, child in self._children.items()
        ]
        plan = self._plan
        run = Run(os.getpid(), plan.nats("admin").url, bool(plan.nats_port), processes, plan.valkey_port)
        write_run(self._directory, run)

    def _name_certificate(self) -> None:
        if file := self._plan.settings.edge.tls_certificate:
            from services.cli.certificates import describe_expiry

            if wrong := describe_expiry(Path(file), datetime.now(UTC)):
                self._output.line(f"warning: the certificate {file} (edge.tls_certificate) {wrong}")

    def _announce(self) -> None:
        for part in self._plan.processes:
            address = self._plan.address(part) if part.port else ""
            self._output.line(f"  {part.name:<8} {address:<28} http://127.0.0.1:{part.ops}/metrics")
            if part.tcp_port:
                self._output.line(f"  {'':<8} {self._plan.tcp_address(part)}")
            for address in self._plan.irc_addresses(part) if part.port else ():
                self._output.line(f"  {'':<8} {address}")
        if port := self._plan.dashboard_port:
            place = "" if self._plan.linked_dashboard else " on this host itself"
            self._output.line(f"  the dashboard of the whole system in a browser{place}: http://127.0.0.1:{port}/")
        if page := self._plan.first_page:
            self._output.line(f"  two users in a browser: {page}#kill={self._kill_token}")
        self._name_certificate()
        edges = self._plan.edges
        addresses = [*map(self._plan.address, edges), *filter(None, map(self._plan.tcp_address, edges))]
        self._output.line("ready " + " ".join(addresses))


def version_of(program: str) -> str:
    """The version that a server's program prints; empty if it prints nothing."""
    try:
        result = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r"\bv=?(\d[\w.+-]*)", result.stdout)
    return found[1] if found else ""


async def _erase_visitors(url: str, broker: NatsSettings) -> str:
    """Deletes the accounts that the first page has registered for its visitors, as the operator's NATS user. `url`:
    auth's database. Returns a sentence about the erased accounts, or an empty text if there were none."""
    # imported here, because these libraries would delay the start
    from services.auth.store.naming import accounts_of_domain
    from services.cli.admin.bus_client import connected_to

    done = 0
    try:
        async with asyncio.timeout(_VISITORS_SECONDS):
            accounts = await asyncio.to_thread(accounts_of_domain, url, _VISITORS_DOMAIN)
            if not accounts:
                return ""
            async with connected_to(broker) as client:
                for account in accounts:
                    await client.request(DELETE_USER, DeleteAccount(account))
                    done += 1
    except (TimeoutError, SQLAlchemyError, RequestError, click.ClickException) as error:
        return f"{done} accounts of the first page are erased, the others at the next end: {error or 'out of time'}"
    return f"{done} accounts of the first page are erased"
