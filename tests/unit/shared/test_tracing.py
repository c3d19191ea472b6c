"""Tests the spans that a collector gets, and the cost if a collector is unavailable or not configured."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from local.ports import free_port
from shared import tracing
from shared.bus.client import Bus, Responder
from shared.contract import subjects as on
from shared.contract.auth import ListRevocations, Revocations
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.events import AccountDeleted
from shared.contract.ids import AccountId
from shared.database import Database
from shared.settings.servers import TracingSettings
from shared.telemetry import new_trace, trace, traceparent
from shared.tracing import Tracer
from tests.support.collector import Collector, Seen
from tests.support.servers import NatsServer

Trace = Callable[..., Tracer]


@pytest.fixture
async def new_tracer(collector: Collector) -> AsyncIterator[Trace]:
    made: list[Tracer] = []

    def make(service: str = "edge", ratio: float = 1.0) -> Tracer:
        made.append(Tracer(TracingSettings(endpoint=collector.endpoint, sample_ratio=ratio), service, f"{service}-1"))
        return made[-1]

    yield make
    for tracer in made:
        await tracer.shut_down()


async def sent(collector: Collector, *tracers: Tracer) -> list[Seen]:
    """Returns all spans in the order in which they ended."""
    for tracer in tracers:
        await tracer.shut_down()
    return collector.spans(lambda _: True)


def named(spans: Sequence[Seen], name: str, kind: str = "") -> Seen:
    (found,) = [span for span in spans if span.name == name and kind in ("", span.kind)]
    return found


# Spans


async def test_steps_are_parts_of_what_is_under_way_under_the_id_of_the_log_lines(
    collector: Collector, new_tracer: Trace
) -> None:
    tracer, trace_id = new_tracer(), new_trace()
    with tracer.begin("GetHistory", {"dialect": "service"}, trace_id=trace_id):
        assert trace.get() == trace_id
        with tracer.span("message.history", "client"):
            assert tracer.current().split("-")[1] == trace_id
    assert (trace.get(), tracer.current()) == ("", "")
    step, root = await sent(collector, tracer)
    assert (root.service, root.instance, root.name, root.kind) == ("dragoman-edge", "edge-1", "GetHistory", "server")
    assert (root.trace, root.parent, root.attributes) == (trace_id, "", {"dialect": "service"})
    assert (step.trace, step.parent, step.kind) == (trace_id, root.id, "client")


async def test_every_beginning_is_a_trace_of_its_own(collector: Collector, new_tracer: Trace) -> None:
    tracer = new_tracer()
    with tracer.begin("one"), tracer.begin("two"):
        pass
    two, one = await sent(collector, tracer)
    assert one.trace != two.trace
    assert two.parent == ""


async def test_what_begins_beside_goes_on_after_the_end(collector: Collector, new_tracer: Trace) -> None:
    tracer = new_tracer()
    ended = asyncio.Event()

    async def beside() -> None:
        await ended.wait()
        with tracer.span("message.sync", "client"):
            pass

    with tracer.begin("Login"):
        task = asyncio.create_task(beside())
    ended.set()
    await task
    login, sync = await sent(collector, tracer)
    assert sync.parent == login.id


_ID, _SPAN = "a" * 32, "1" * 16


async def test_garbage_for_a_cause_is_ignored(collector: Collector, new_tracer: Trace) -> None:
    tracer = new_tracer()
    for cause in (
        "",
        "nonsense",
        f"00-{'g' * 32}-{_SPAN}-01",
        f"00-{'0' * 32}-{_SPAN}-01",
        f"00-{_ID}-{'0' * 16}-01",
        f"ff-{_ID}-{_SPAN}-01",
        f"00-{_ID}-{_SPAN}-\n1",
        f"00-{_ID}-{_SPAN}-01-01",
    ):
        with tracer.continue_trace("message.post", "server", cause):
            assert tracer.current() == ""
        tracer.link("commit", [cause]).end()
    assert await sent(collector, tracer) == []


async def test_nothing_of_what_is_not_recorded_is(collector: Collector, new_tracer: Trace) -> None:
    tracer, trace_id = new_tracer(), new_trace()
    trace.set(trace_id)
    with tracer.continue_trace("auth.login", "server", traceparent(trace_id)):
        assert (trace.get(), tracer.current()) == (trace_id, "")
        with tracer.span("database read", "client"):
            assert trace.get() == trace_id
    trace.set("")
    with tracer.span("auth.watch", "client"):
        assert trace.get() == ""
    assert tracer.link("commit", ["", ""]).traceparent == ""
    assert await sent(collector, tracer) == []


async def test_the_same_share_of_traces_is_taken_everywhere(collector: Collector, new_tracer: Trace) -> None:
    one, two, ids = new_tracer("auth", 0.5), new_tracer("message", 0.5), [new_trace() for _ in range(64)]
    for tracer in (one, two):
        for trace_id in ids:
            tracer.begin("x", trace_id=trace_id).end()
    spans = await sent(collector, one, two)
    auth, message = ({span.trace for span in spans if span.service.endswith(name)} for name in ("auth", "message"))
    assert auth == message
    assert 0 < len(auth) < 64


async def test_a_batch_is_linked_to_all_that_are_recorded_and_a_part_of_a_single_one(
    collector: Collector, new_tracer: Trace
) -> None:
    tracer, shy = new_tracer(), new_tracer("message", ratio=0.0)
    one, two = tracer.begin("one"), tracer.begin("two")
    alone = shy.link("alone", [one.traceparent, "", ""])
    both = shy.link("both", [one.traceparent, two.traceparent, ""], {"requests": 3})
    follows = shy.continue_trace("follows", "internal", both.traceparent)
    for span in (follows, both, alone, two, one):
        span.end()
    spans = await sent(collector, shy, tracer)
    first, second = named(spans, "one"), named(spans, "two")
    assert (named(spans, "alone").parent, named(spans, "alone").links) == (first.id, (first.id,))
    together = named(spans, "both")
    assert (together.parent, together.links, together.attributes) == ("", (first.id, second.id), {"requests": 3})
    assert together.trace not in (first.trace, second.trace)
    assert named(spans, "follows").parent == together.id


async def test_an_error_is_recorded_by_its_code_and_never_by_its_text(collector: Collector, new_tracer: Trace) -> None:
    tracer = new_tracer()
    with pytest.raises(RequestError), tracer.begin("rejected"):
        raise RequestError(ErrorCode.CONFLICT, "ann@example.com is taken")
    with pytest.raises(ValueError, match="orange"), tracer.begin("broken"):
        raise ValueError("the password is orange")
    rejected, broken = await sent(collector, tracer)
    assert (rejected.failed, broken.failed) == ("conflict", "internal")
    assert rejected.attributes == {"outcome": "conflict"}
    assert b"orange" not in collector.raw
    assert b"example.com" not in collector.raw


# On the bus


@pytest.fixture
async def buses(nats_server: NatsServer, new_tracer: Trace) -> AsyncIterator[tuple[Bus, Bus]]:
    """The bus of an edge, which is started, and the bus of auth."""
    edge, auth = (
        Bus(nats_server.settings(name), name, CollectorRegistry(), new_tracer(name)) for name in ("edge", "auth")
    )
    await edge.start()
    yield edge, auth
    await asyncio.gather(edge.stop(), auth.stop())


async def sent_by(collector: Collector, *buses: Bus) -> list[Seen]:
    """Stops the buses, and returns all spans."""
    await asyncio.gather(*(bus.stop() for bus in buses))
    return await sent(collector, *(bus._tracer for bus in buses if bus._tracer is not None))


async def test_a_request_is_followed_to_the_database(
    collector: Collector, buses: tuple[Bus, Bus], database_url: str
) -> None:
    edge, auth = buses
    database = Database(database_url, tracer=auth._tracer)

    async def watched(request: ListRevocations) -> Revocations:
        last = await database.write(lambda connection: connection.execute(sa.text("SELECT 41")).scalar_one())
        if request.since:
            raise RequestError(ErrorCode.FORBIDDEN, "no")
        return Revocations(last, [], maintenance=False)

    auth.serve(ListRevocations.route, watched)
    await auth.start()
    assert edge._tracer is not None
    with edge._tracer.begin("Login"):
        await edge.send(ListRevocations(0))
        with pytest.raises(RequestError):
            await edge.send(ListRevocations(1))
    await edge.send(ListRevocations(0))  # this span would be a root, so it is not recorded
    await database.close()
    spans = await sent_by(collector, edge, auth)
    assert len(spans) == 7
    assert {span.trace for span in spans} == {named(spans, "Login").trace}
    for client in [span for span in spans if (span.name, span.kind) == ("auth.watch", "client")]:
        (server,) = [span for span in spans if span.parent == client.id]
        (write,) = [span for span in spans if span.parent == server.id]
        assert (client.parent, client.service) == (named(spans, "Login").id, "dragoman-edge")
        assert (server.name, server.kind, server.service) == ("auth.watch", "server", "dragoman-auth")
        assert (write.name, write.kind) == ("database write", "client")
        assert write.attributes == {"db.system.name": "sqlite" if database.is_sqlite else "postgresql"}
    assert sorted(span.failed for span in spans if span.kind == "server") == ["", "", "forbidden"]


async def test_a_taken_request_goes_on_until_it_is_answered(collector: Collector, buses: tuple[Bus, Bus]) -> None:
    edge, auth = buses
    taken: asyncio.Queue[Responder] = asyncio.Queue()
    auth.serve_deferred(ListRevocations.route, lambda _, responder: taken.put_nowait(responder), queue="auth")
    await auth.start()
    assert edge._tracer is not None
    with edge._tracer.begin("post"):
        requested = asyncio.create_task(edge.send(ListRevocations()))
        responder = await taken.get()
        await asyncio.sleep(0.05)
        await responder.reply(Revocations(1, [], maintenance=False))
        await requested
    spans = await sent_by(collector, edge, auth)
    server = named(spans, "auth.watch", "server")
    assert server.parent == named(spans, "auth.watch", "client").id
    assert server.seconds >= 0.05
    assert responder.cause == f"00-{server.trace}-{server.id}-01"


async def test_a_batch_has_a_cause_only_where_that_is_recorded(
    nats_server: NatsServer, collector: Collector, buses: tuple[Bus, Bus]
) -> None:
    _, auth = buses
    heard: list[tuple[bytes, str]] = []
    enough = asyncio.Event()

    def hear(data: bytes) -> None:
        heard.append((data, trace.get()))
        if len(heard) == 2:
            enough.set()

    other = Bus(nats_server.settings("edge"), "edge", CollectorRegistry(), buses[0]._tracer)
    other.subscribe(on.NOTIFY_ALL, hear)
    await asyncio.gather(auth.start(), other.start())
    assert auth._tracer is not None
    await auth.publish(on.NOTIFY_ALL, b"quiet")
    with auth._tracer.begin("deletion"):
        await auth.publish(on.NOTIFY_ALL, b"traced")
    await enough.wait()
    spans = await sent_by(collector, auth, other)
    deletion, notify = named(spans, "deletion"), named(spans, "notify", "consumer")
    assert (notify.parent, notify.service) == (deletion.id, "dragoman-edge")
    assert heard == [(b"quiet", ""), (b"traced", deletion.trace)]


async def test_a_durable_event_is_followed_to_its_handlers(
    nats_server: NatsServer, collector: Collector, buses: tuple[Bus, Bus], new_tracer: Trace
) -> None:
    _, auth = buses
    session = Bus(nats_server.settings("session"), "session", CollectorRegistry(), new_tracer("session"))
    handled: asyncio.Queue[str] = asyncio.Queue()

    async def handle(_: AccountDeleted) -> None:
        handled.put_nowait(trace.get())

    session.consume(on.ACCOUNT_DELETED, handle)
    await asyncio.gather(auth.start(), session.start())
    assert auth._tracer is not None
    with auth._tracer.begin("deletion"):
        await auth.publish_event(on.ACCOUNT_DELETED, AccountDeleted(AccountId(7)), key="deleted-7")
    trace_id = await handled.get()
    spans = await sent_by(collector, auth, session)
    deletion, handling = named(spans, "deletion"), named(spans, on.ACCOUNT_DELETED.subject, "consumer")
    assert (handling.parent, handling.trace, handling.service) == (deletion.id, trace_id, "dragoman-session")


# Off, unavailable, stuck


async def _lag(seconds: float) -> float:
    """Returns the longest time in which the event loop was blocked."""
    longest, until = 0.0, time.monotonic() + seconds
    while (before := time.monotonic()) < until:
        await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - before)
    return longest


def _work(tracer: Tracer, spans: int) -> None:
    for _ in range(spans // 2):
        with tracer.begin("post"), tracer.span("message.post", "client"):
            pass


async def test_a_collector_that_is_away_costs_nothing_but_the_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "_END_SECONDS", 0.5)
    tracer = Tracer(TracingSettings(endpoint=f"http://127.0.0.1:{free_port()}"), "edge")
    _work(tracer, 6_000)
    watching = asyncio.create_task(_lag(0.3))
    await asyncio.sleep(0)
    started = time.monotonic()
    await tracer.shut_down()
    assert time.monotonic() - started < 8
    assert await watching < 1.5


async def test_of_what_waits_for_the_collector_only_so_much_is_kept(collector: Collector, new_tracer: Trace) -> None:
    collector.answers.clear()
    tracer = new_tracer()
    _work(tracer, 10_000)
    tracer.begin("last").end()
    collector.answers.set()
    assert len(collector.spans(lambda spans: any(span.name == "last" for span in spans))) < 7_000


async def test_a_collector_that_hangs_holds_nobody_up(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "_END_SECONDS", 1.1)
    collector.answers.clear()
    tracer = Tracer(TracingSettings(endpoint=collector.endpoint), "edge")
    _work(tracer, 6_000)
    watching = asyncio.create_task(_lag(0.5))
    await asyncio.sleep(0)
    started = time.monotonic()
    await tracer.shut_down()
    assert 1 < time.monotonic() - started < 8
    assert await watching < 1.5
    _work(tracer, 100)  # late spans are dropped


_LOADED = """
import sys
from dragoman.main import main
from shared import process

def run(service, settings, serve):
    process.tracing(settings, service)
    print(*[name for name, module in sys.modules.items() if module and name.startswith(("opentelemetry", "google."))])
    return 0

process.run = run
for service in ("auth", "session", "message", "edge"):
    try:
        main([service, *sys.argv[1:]])
    except SystemExit as end:
        assert not end.code
"""
"""A program that runs the services' commands up to the point where they would serve.

It shows which parts of the library are loaded by then.
"""


def test_without_an_endpoint_nothing_of_the_library_is_even_loaded() -> None:
    def loaded(*options: str) -> list[str]:
        command = [sys.executable, "-c", _LOADED, *options]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    assert loaded() == [""] * 4
    with_endpoint = loaded("--set", "tracing.endpoint=http://127.0.0.1:4318")
    assert len(with_endpoint) == 4
    assert all("opentelemetry.sdk.trace" in line for line in with_endpoint)
