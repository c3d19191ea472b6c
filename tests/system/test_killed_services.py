"""Every operation that writes has one effect and one reply, even if a process is killed while the operation is in
flight.

Services are killed before the commit, after it (with PostgreSQL), and before the reply. Edges are killed before and
after the commit, and their clients repeat the operation on another edge.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from dragoman_client.errors import ConnectionEnded
from local.fork_server import ForkServer
from local.process_group import ProcessGroup
from services.auth.tables import AuthBase
from services.message.tables import MessageTables
from services.session.tables import metadata as session_tables
from shared.settings import Settings
from shared.settings.accounts import VerificationSettings
from shared.settings.messages import OutgoingWebhookSettings, PushSettings
from shared.vapid import make_key
from tests.support.native_http import register
from tests.support.servers import NatsServer, PostgresServer, ValkeyServer
from tests.support.stack import Build, ServiceProcess, Stack
from tests.support.waiting import WAIT_SECONDS
from tests.system.held_commands import close_gates, held, open_gates
from tests.system.users import NativeUser
from tests.system.writing_operations import WRITING_OPERATIONS, PreparedUser, WritingOperation, names

SERVICES = ("auth", "session", "message")
_TABLES = {"auth": AuthBase.metadata, "session": session_tables, "message": MessageTables.metadata}
_IGNORED = {
    "auth": {"requests", "outbox", "trail", "health"},
    "session": {"request", "kept", "health", "push_chat", "push_notification"},
    "message": {"cursors", "health"},
}
"""Tables whose growth is not compared: the results of commands, the audit trail, and data that arrive later or are in
flight.
"""
_COUNTERS = {"version", "last_index", "rev"}
_TIMES = {"drafts.rev"}
"""Columns that change with each effect but do not count effects."""
_SETTLED_SECONDS = 0.3
_EVENT_SECONDS = 10.0
"""An event that was sent to a killed service is delivered again within this time."""
_HELD_BY_MESSAGE = {"post", "change", "read"}
_REPEATED_IN_VAIN = {"not_found", "conflict", "forbidden", "unauthenticated"}


def test_each_writing_operation_is_killed() -> None:
    assert {operation.name for operation in WRITING_OPERATIONS} == names()


class KilledStack:
    """Services that hold commands, and two edges."""

    def __init__(self, stack: Stack, directory: Path, url: str) -> None:
        self._stack = stack
        self.directory = directory
        self._held = Build(module=("tests.system.held_commands", str(directory)))
        self._databases = {service: sa.create_engine(url.format(service=service)) for service in SERVICES}
        self.running = {service: self._start(service, self._held) for service in SERVICES}
        self.running |= {name: self._start("edge", Build()) for name in ("edge", "other edge")}
        stack.await_ready(*self.running.values())

    def _start(self, service: str, build: Build) -> ServiceProcess:
        return self._stack.start(service, build, _settings)

    def address(self, edge: str) -> str:
        return f"ws://127.0.0.1:{self.running[edge].port}"

    def kill(self, name: str) -> None:
        os.kill(self.running[name].pid, signal.SIGKILL)
        self.running[name].process.wait()

    def start_again(self, name: str) -> None:
        is_edge = name not in SERVICES
        self.running[name] = self._start("edge" if is_edge else name, Build() if is_edge else self._held)
        self._stack.await_ready(self.running[name])

    def stop(self) -> None:
        for one in self.running.values():
            one.process.kill()
            one.process.wait()
        for engine in self._databases.values():
            engine.dispose()

    def sizes(self) -> Counter[str]:
        """Returns, for each table, the number of rows and the sums of the columns that count changes."""
        found = Counter[str]()
        for service, engine in self._databases.items():
            with engine.connect() as connection:
                for table in _TABLES[service].sorted_tables:
                    if table.name in _IGNORED[service]:
                        continue
                    found[table.name] = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                    for column in table.c:
                        if column.name not in _COUNTERS or str(column) in _TIMES:
                            continue
                        total = connection.execute(sa.select(sa.func.sum(column))).scalar_one()
                        found[str(column)] = int(total or 0)
        return found


def _settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "edge": settings.edge.model_copy(update={"request_seconds": 30.0}),
            "redis": settings.redis.model_copy(update={"timeout_seconds": 10.0}),
            "outgoing_webhooks": OutgoingWebhookSettings(enabled=True),
            "verification": VerificationSettings(after_failed_logins=1),
            "push": PushSettings(key=SecretStr(make_key())),
        }
    )


Start = Callable[[str], AbstractContextManager[KilledStack]]
"""A function that starts the services. Its argument is the URL of the databases."""


@pytest.fixture
def start(
    tmp_path: Path, nats_server: NatsServer, valkey_server: ValkeyServer, process_group: ProcessGroup,
    fork_server: ForkServer,
) -> Start:  # fmt: skip
    @contextmanager
    def start(url: str) -> Iterator[KilledStack]:
        processes = Stack(tmp_path, nats_server, valkey_server, url, process_group, fork_server=fork_server)
        processes.migrate()
        stack = KilledStack(processes, tmp_path, url)
        try:
            yield stack
        finally:
            stack.stop()

    return start


class InFlight:
    """A command that is in flight, and a message that the same connection sends after it."""

    def __init__(self, operation: WritingOperation, edge: str, other: dict[str, Any]) -> None:
        self.operation = operation
        self.caller = PreparedUser(edge, other)
        nonce = {"nonce": "the command"} if operation.is_named else {}
        self._command = operation.members(self.caller) | nonce | {"op": operation.name, "id": "command"}
        self._behind = {"op": "send", "id": "behind", "to": other["account"], "text": "next", "nonce": "behind"}

    def send(self) -> None:
        for frame in self._frames():
            self.caller.connection.send(frame)

    def _frames(self) -> list[dict[str, Any]]:
        return [self._command] if self.operation.ends else [self._command, self._behind]

    def finish(self) -> None:
        """Waits for one reply to each frame, in order.

        On a loaded machine, message may be unavailable for so long that a message is rejected, or session for so long
        that message cannot read the members. Then the frame is sent again, as a real client does.
        """
        connection = self.caller.connection
        for frame in self._frames():
            reply = _reply(connection, frame["id"])
            of_message = frame is self._behind or self.operation.held_by in _HELD_BY_MESSAGE
            while of_message and reply.get("error", {}).get("code") == "unavailable":
                connection.send(frame)
                reply = _reply(connection, frame["id"])
            assert "error" not in reply, (self.operation.name, frame["id"], reply)
        if not self.operation.ends:
            connection.do("ping")
        assert not [frame for frame in connection.pending if '"re":"' in frame], self.operation.name
        connection.connection.close()

    def repeat(self, edge: str) -> None:
        """Repeats the commands that have no reply, on a new connection."""
        unanswered = self._frames()
        try:
            while True:
                frame = msgspec.json.decode(self.caller.connection.read())
                unanswered = [one for one in unanswered if one["id"] != frame.get("re")]
        except ConnectionEnded:
            self.caller.connection = NativeUser(edge)
        if not unanswered:
            return
        token = self.caller.connection.call("token", token=self.caller.token)
        for frame in unanswered:
            self.caller.connection.send(frame)
            reply = _reply(self.caller.connection, frame["id"])
            error = reply.get("error", {}).get("code")
            if self.operation.is_named or frame["id"] == "behind":
                assert error is None, (self.operation.name, frame["id"], token, reply)
            assert error is None or error in _REPEATED_IN_VAIN, (self.operation.name, reply)


def _reply(connection: NativeUser, number: str) -> dict[str, Any]:
    reply: dict[str, Any] = msgspec.json.decode(connection.receive(f'{{"re":"{number}"'))
    return reply


class Effects:
    """Compares how all commands together make the tables grow, without and with disturbances."""

    def __init__(self, stack: KilledStack) -> None:
        self._stack = stack
        self._usual: Counter[str] | None = None
        self._before = Counter[str]()

    def begin(self) -> None:
        self._before = self._settled()

    def check(self, what: str, *ignored: str) -> None:
        grown = self._grown(self._settled())
        self._usual = self._usual or grown
        deadline = time.monotonic() + _EVENT_SECONDS
        while (difference := _difference(self._usual, grown, ignored)) and time.monotonic() < deadline:
            time.sleep(0.2)
            grown = self._grown(self._stack.sizes())
        assert not difference, (what, difference)

    def _grown(self, sizes: Counter[str]) -> Counter[str]:
        return Counter({name: size - self._before[name] for name, size in sizes.items()})

    def _settled(self) -> Counter[str]:
        """Waits until the commands that have a reply cause no more changes. Returns the sizes of the tables."""
        sizes = self._stack.sizes()
        while True:
            time.sleep(_SETTLED_SECONDS)
            later = self._stack.sizes()
            if later == sizes:
                return sizes
            sizes = later


def _difference(usual: Counter[str], grown: Counter[str], ignored: Collection[str]) -> dict[str, tuple[int, int]]:
    names = (usual | grown).keys() - set(ignored)
    return {name: (usual[name], grown[name]) for name in names if usual[name] != grown[name]}


def prepared(stack: KilledStack) -> list[InFlight]:
    edge = stack.address("edge")
    other = register(edge)
    with ThreadPoolExecutor(8) as threads:
        return [*threads.map(lambda operation: InFlight(operation, edge, other), WRITING_OPERATIONS)]


def _wait_until_held(stack: KilledStack, expected: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while len(held(stack.directory)) < expected:
        assert time.monotonic() < deadline, (expected, held(stack.directory))
        time.sleep(0.02)


def _held_by(service: str) -> int:
    """Returns the number of commands that a service holds when all operations wait.

    All posts count as one, because they come in one batch, and so do all reads.
    """
    kinds = [kind for operation in WRITING_OPERATIONS for kind in operation.held_by.split()]
    return kinds.count("change") + 2 if service == "message" else kinds.count(service)


def test_a_command_has_one_effect_and_one_answer_whatever_dies(start: Start, tmp_path: Path) -> None:
    with start(f"sqlite:///{tmp_path}/{{service}}.db") as stack:
        effects = undisturbed(stack)
        for service, phase in product(SERVICES, ("before", "answered")):
            kill_a_service(stack, effects, service, phase)
        for phase in ("before", "committed"):
            kill_the_edge(stack, effects, phase)


@pytest.mark.xdist_group("postgresql")
def test_a_committed_command_has_one_effect_in_postgresql(start: Start, postgres_server: PostgresServer) -> None:
    with postgres_server.databases() as url, start(url) as stack:
        effects = undisturbed(stack)
        for service in SERVICES:
            kill_a_service(stack, effects, service, "committed")


def undisturbed(stack: KilledStack) -> Effects:
    effects, commands = Effects(stack), prepared(stack)
    effects.begin()
    for command in commands:
        command.send()
    for command in commands:
        command.finish()
    effects.check("undisturbed")
    return effects


def kill_a_service(stack: KilledStack, effects: Effects, service: str, phase: str) -> None:
    commands = prepared(stack)
    effects.begin()
    close_gates(stack.directory, gate := f"{service}.{phase}")
    for command in commands:
        command.send()
    _wait_until_held(stack, _held_by(service))
    stack.kill(service)
    open_gates(stack.directory, gate)
    stack.start_again(service)
    for command in commands:
        command.finish()
    effects.check(gate)


def kill_the_edge(stack: KilledStack, effects: Effects, phase: str) -> None:
    """Kills an edge.

    Its clients repeat their commands on the other edge. A repeated `recover` again ends all logins.
    """
    commands = prepared(stack)
    effects.begin()
    close_gates(stack.directory, *(gates := [f"{service}.{phase}" for service in SERVICES]))
    for command in commands:
        command.send()
    _wait_until_held(stack, sum(one.held_by not in ("post", "read") for one in WRITING_OPERATIONS) + 2)
    stack.kill("edge")
    open_gates(stack.directory, *gates)
    for command in commands:
        command.repeat(stack.address("other edge"))
    stack.start_again("edge")
    effects.check(f"edge {phase}", "revocations")
