"""Tests durable events with a real JetStream. Each service has its own permissions."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import nats
import pytest
from nats.js.api import StreamInfo
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from shared.bus import connection, durable, streams
from shared.bus.client import Bus, WorkerFailed
from shared.bus.durable import DurableWorker
from shared.contract import subjects as on
from shared.contract.events import AccountDeleted
from shared.contract.ids import AccountId
from shared.telemetry import new_trace, trace
from tests.support.servers import NatsServer
from tests.support.waiting import WAIT_SECONDS, until
from tests.unit.shared.bus.test_client import running

DELETED = on.ACCOUNT_DELETED


class DurableService:
    """A service that handles deletions. Its first attempts fail, and later ones are recorded."""

    def __init__(
        self, server: NatsServer, name: str, *, failures: int = 0, pauses: Sequence[float] = (0.05,) * 5
    ) -> None:
        self.registry = CollectorRegistry()
        self.bus = Bus(server.settings(name), name, self.registry)
        self.bus.consume(DELETED, self.handle, pauses=pauses)
        self.calls: list[int] = []
        self.traces: list[str] = []
        self.done: asyncio.Queue[int] = asyncio.Queue()
        self.gate = asyncio.Event()
        self.gate.set()
        self._failures = failures

    async def handle(self, event: AccountDeleted) -> None:
        self.calls.append(event.account)
        self.traces.append(trace.get())
        await self.gate.wait()
        if len(self.calls) <= self._failures:
            raise RuntimeError("not\nyet")
        self.done.put_nowait(event.account)


def auth_bus(server: NatsServer) -> Bus:
    return Bus(server.settings("auth"), "auth", CollectorRegistry())


def deletion(account: int) -> AccountDeleted:
    return AccountDeleted(AccountId(account))


async def stream(server: NatsServer, name: str) -> StreamInfo:
    settings = server.settings("setup")
    client = await nats.connect(
        settings.url, user="setup", password=settings.password.get_secret_value(), inbox_prefix="inbox.setup"
    )
    try:
        return await client.jetstream().stream_info(name, subjects_filter=">")
    finally:
        await client.close()


async def until_empty(server: NatsServer) -> None:
    while (await stream(server, on.STREAM)).state.messages:
        await asyncio.sleep(0.02)


@pytest.fixture
async def impatient_server(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> NatsServer:
    """A nats-server that delivers an event again after a second without acknowledgement.

    Buses give up a server that does not answer for about as long.
    """
    for module in (durable, streams):
        monkeypatch.setattr(module, "ACK_WAIT_SECONDS", 1.0)
    monkeypatch.setattr(connection, "_PING_SECONDS", 0.5)  # three pings take longer than the acknowledgement may
    await nats_server.make_fresh()
    return nats_server


async def test_every_service_works_on_an_event_and_then_it_is_gone(nats_server: NatsServer) -> None:
    auth, session, message = (
        auth_bus(nats_server),
        DurableService(nats_server, "session"),
        DurableService(nats_server, "message"),
    )
    async with running(auth, session.bus, message.bus):
        trace.set(new_trace())
        await auth.publish_event(DELETED, deletion(7), key="deleted-7")
        assert await session.done.get() == await message.done.get() == 7
        await until_empty(nats_server)
    assert session.traces == [trace.get()]


async def test_an_event_waits_for_a_service_that_is_down(nats_server: NatsServer) -> None:
    auth, session = auth_bus(nats_server), DurableService(nats_server, "session")
    async with running(auth):
        await auth.publish_event(DELETED, deletion(7), key="deleted-7")
    nats_server.restart()
    async with running(session.bus):
        assert await session.done.get() == 7


async def test_a_failure_is_tried_again_after_a_pause(nats_server: NatsServer) -> None:
    auth, session = auth_bus(nats_server), DurableService(nats_server, "session", failures=2, pauses=(0.2, 0.2))
    async with running(auth, session.bus):
        before = asyncio.get_running_loop().time()
        await auth.publish_event(DELETED, deletion(7), key="deleted-7")
        assert await session.done.get() == 7
        assert asyncio.get_running_loop().time() - before >= 0.39
    assert session.calls == [7, 7, 7]


async def test_what_never_succeeds_becomes_a_dead_letter_and_the_rest_goes_on(nats_server: NatsServer) -> None:
    auth, session = auth_bus(nats_server), DurableService(nats_server, "session", failures=3, pauses=(0.01, 0.01))
    async with running(auth, session.bus):
        await auth.publish_event(DELETED, deletion(7), key="deleted-7")
        subject = {"subject": DELETED.subject}
        assert session.registry.get_sample_value("dragoman_bus_dead_letters_total", subject) == 0
        while not session.registry.get_sample_value("dragoman_bus_dead_letters_total", subject):
            await asyncio.sleep(0.02)
        await auth.publish_event(DELETED, deletion(8), key="deleted-8")
        assert await session.done.get() == 8
    assert session.calls == [7, 7, 7, 8]
    dead = await stream(nats_server, on.DEAD_LETTERS)
    assert dead.state.subjects == {f"dead.session.{DELETED.subject}": 1}
    for result, times in (("failed", 3), ("done", 1)):
        labels = {"subject": DELETED.subject, "outcome": result}
        assert session.registry.get_sample_value("dragoman_bus_events_total", labels) == times


async def test_an_event_published_twice_is_handled_once(nats_server: NatsServer) -> None:
    auth, session = auth_bus(nats_server), DurableService(nats_server, "session")
    async with running(auth, session.bus):
        for key in ("same", "same", "other"):
            await auth.publish_event(DELETED, deletion(7), key=key)
        await session.done.get()
        await session.done.get()
    assert session.calls == [7, 7]


async def test_work_under_way_is_finished_before_the_end(nats_server: NatsServer) -> None:
    auth, session = auth_bus(nats_server), DurableService(nats_server, "session")
    session.gate.clear()
    async with running(auth):
        await session.bus.start()
        await auth.publish_event(DELETED, deletion(7), key="deleted-7")
        while not session.calls:
            await asyncio.sleep(0.01)
        stopping = asyncio.ensure_future(session.bus.stop())
        await asyncio.sleep(0.1)
        assert not stopping.done()
        session.gate.set()
        await stopping
        assert session.done.get_nowait() == 7
        again = DurableService(nats_server, "session")
        async with running(again.bus):
            await auth.publish_event(DELETED, deletion(8), key="deleted-8")
            assert await again.done.get() == 8
        assert again.calls == [8]


async def test_an_idle_worker_stops_at_once(nats_server: NatsServer) -> None:
    for _ in range(3):
        session = DurableService(nats_server, "session")
        await session.bus.start()
        await asyncio.sleep(0.1)
        before = asyncio.get_running_loop().time()
        await session.bus.stop()
        assert asyncio.get_running_loop().time() - before < 0.7


async def test_a_stopping_worker_leaves_no_event_behind(nats_server: NatsServer) -> None:
    """If the worker left an event unhandled, the event would be delivered again only after five seconds."""
    auth = auth_bus(nats_server)
    services: list[DurableService] = []

    async def emit() -> None:
        for number in range(100):
            await auth.publish_event(DELETED, deletion(number), key=f"deleted-{number}")
            await asyncio.sleep(0.005)

    async with running(auth), asyncio.timeout(9):
        emitting = asyncio.create_task(emit())
        while len(calls := [call for service in services for call in service.calls]) < 100:
            services.append(DurableService(nats_server, "session"))
            await services[-1].bus.start()
            await asyncio.sleep(0.02 * (len(services) % 4))
            await services[-1].bus.stop()
        await emitting
    assert calls == list(range(100))
    assert len(services) > 3


async def test_work_goes_on_after_the_broker_was_killed(nats_server: NatsServer) -> None:
    auth, session = auth_bus(nats_server), DurableService(nats_server, "session")
    async with running(auth, session.bus):
        for number in range(2):
            await auth.publish_event(DELETED, deletion(number), key=f"deleted-{number}")
            while await session.done.get() != number:
                pass  # after a lost acknowledgement, the previous event comes twice
            await asyncio.to_thread(nats_server.restart)
            while not await _reachable(auth):
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("is_killed", [True, False])
async def test_the_next_event_comes_although_the_connection_of_the_fetch_has_ended(
    impatient_server: NatsServer, monkeypatch: pytest.MonkeyPatch, is_killed: bool
) -> None:
    monkeypatch.setattr(durable, "_FETCH_SECONDS", 3600.0)
    auth, session = auth_bus(impatient_server), DurableService(impatient_server, "session")
    reconnected = asyncio.Event()
    session.bus.notify_connection_lost(lambda _: reconnected.set())
    async with running(auth, session.bus):
        await auth.publish_event(DELETED, deletion(7), key="deleted-7")
        assert await session.done.get() == 7
        if is_killed:
            await asyncio.to_thread(impatient_server.restart)
        else:
            with frozen(impatient_server) as disconnections:
                await until(lambda: disconnections() == 2)
        async with asyncio.timeout(WAIT_SECONDS):
            await reconnected.wait()
            while not await _reachable(auth):
                await asyncio.sleep(0.05)
            await auth.publish_event(DELETED, deletion(8), key="deleted-8")
            while await session.done.get() != 8:
                pass  # after a lost acknowledgement, the previous event comes twice


@contextmanager
def frozen(server: NatsServer) -> Iterator[Callable[[], int]]:
    """Inside this context, the server is frozen. Yields a function that counts the connections that buses gave up."""
    with capture_logs() as logs:
        server.pause()
        try:
            yield lambda: [line["event"] for line in logs].count("bus disconnected")
        finally:
            server.resume()


async def test_the_next_event_comes_although_the_consumer_was_created_again(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "_FETCH_SECONDS", 3600.0)
    monkeypatch.setattr(streams, "_READY_CHECK_SECONDS", 0.1)
    auth, session = auth_bus(nats_server), DurableService(nats_server, "session")
    lost = asyncio.Event()
    session.bus.notify_events_lost(lost.set)
    async with running(auth, session.bus):
        await auth.publish_event(DELETED, deletion(7), key="deleted-7")
        assert await session.done.get() == 7
        await nats_server.make_fresh()
        async with asyncio.timeout(WAIT_SECONDS):
            await lost.wait()
            await auth.publish_event(DELETED, deletion(8), key="deleted-8")
            assert await session.done.get() == 8


async def _reachable(bus: Bus) -> bool:
    try:
        await bus.check()
    except (TimeoutError, nats.errors.Error):
        return False
    return True


async def test_a_worker_that_ends_by_a_stop_is_no_failure(nats_server: NatsServer) -> None:
    session = DurableService(nats_server, "session")
    watching = asyncio.create_task(session.bus.watch_workers())
    async with running(session.bus):
        pass
    await asyncio.wait([watching], timeout=0.1)
    assert not watching.done()
    watching.cancel()


@pytest.mark.parametrize("error", [ValueError("unforeseen"), asyncio.CancelledError()])
async def test_a_worker_that_ends_otherwise_is_reported(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(DurableWorker, "_next", fail)
    session = DurableService(nats_server, "session")
    async with running(session.bus), asyncio.timeout(5):
        with pytest.raises(WorkerFailed):
            await session.bus.watch_workers()


_OTHER_PROCESS = """
import asyncio, sys
from prometheus_client import CollectorRegistry
from shared.bus.client import Bus
from shared.contract.subjects import ACCOUNT_DELETED
from shared.settings.servers import NatsSettings

async def handle(event):
    print("handling", flush=True)
    await asyncio.sleep(3600)

async def main():
    bus = Bus(NatsSettings(url=sys.argv[1], user="session", password=sys.argv[2]), "session", CollectorRegistry())
    bus.consume(ACCOUNT_DELETED, handle)
    await bus.start()
    print("ready", flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


async def until_printed(output: asyncio.StreamReader, line: bytes) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while await output.readline() != line:
            pass


@pytest.mark.parametrize(("fault", "is_handling"), [(signal.SIGKILL, True), (signal.SIGSTOP, False)])
async def test_what_a_failed_process_has_comes_to_another(
    impatient_server: NatsServer, fault: signal.Signals, is_handling: bool
) -> None:
    """The time for the failed process's acknowledgement passes. Then another process gets the event."""
    settings, auth, session = (
        impatient_server.settings("session"),
        auth_bus(impatient_server),
        DurableService(impatient_server, "session"),
    )
    arguments = (settings.url, settings.password.get_secret_value())
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", _OTHER_PROCESS, *arguments, stdout=PIPE)
    assert other.stdout is not None
    try:
        await until_printed(other.stdout, b"ready\n")
        async with running(auth):
            if is_handling:
                await auth.publish_event(DELETED, deletion(7), key="deleted-7")
                await until_printed(other.stdout, b"handling\n")
            other.send_signal(fault)
            if not is_handling:
                await auth.publish_event(DELETED, deletion(7), key="deleted-7")
            async with running(session.bus), asyncio.timeout(WAIT_SECONDS):
                assert await session.done.get() == 7
    finally:
        if other.returncode is None:
            other.kill()
        await other.wait()


async def test_an_event_in_progress_survives_a_frozen_broker(impatient_server: NatsServer) -> None:
    auth, session, message = (
        auth_bus(impatient_server),
        DurableService(impatient_server, "session"),
        DurableService(impatient_server, "message"),
    )
    session.gate.clear()
    async with running(auth, session.bus, message.bus):
        await auth.publish_event(DELETED, deletion(7), key="deleted-7")
        while not session.calls:
            await asyncio.sleep(0.01)
        with frozen(impatient_server) as disconnections:
            session.gate.set()
            assert await session.done.get() == 7
            await until(lambda: disconnections() == 3)
        async with asyncio.timeout(WAIT_SECONDS):
            await until_empty(impatient_server)
