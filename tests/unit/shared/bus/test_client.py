"""Tests the bus with a real nats-server. Each service has its own permissions."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace

import nats.errors
import pytest
from nats.aio.msg import Msg
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from structlog.testing import capture_logs

from local.ports import free_port
from services.cli.doctor.machine import python
from shared.bus import connection, request_sender
from shared.bus.client import Bus, Responder, pack
from shared.bus.failures import Unavailable
from shared.bus.nats_client import NatsClient
from shared.contract import subjects as on
from shared.contract.auth import ListRevocations, Revocations
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import NodeId
from shared.request_nonce import request_nonce
from shared.telemetry import new_trace, trace
from tests.support.servers import NatsServer
from tests.support.waiting import WAIT_SECONDS, until


def new_bus(server: NatsServer, service: str, registry: CollectorRegistry | None = None) -> Bus:
    return Bus(server.settings(service), service, registry or CollectorRegistry())


@asynccontextmanager
async def running(*buses: Bus) -> AsyncIterator[None]:
    await asyncio.gather(*(bus.start() for bus in buses))
    try:
        yield
    finally:
        await asyncio.gather(*(bus.stop() for bus in buses))


async def watched(request: ListRevocations) -> Revocations:
    return Revocations(last=request.since + 1, revocations=[], maintenance=False)


def serving(server: NatsServer, queue: str = "auth") -> Bus:
    bus = new_bus(server, "auth")
    bus.serve(ListRevocations.route, watched, queue=queue)
    return bus


async def test_a_request_is_answered_and_its_trace_goes_along(nats_server: NatsServer) -> None:
    traces = []

    async def handler(request: ListRevocations) -> Revocations:
        traces.append(trace.get())
        return await watched(request)

    auth, edge = new_bus(nats_server, "auth"), new_bus(nats_server, "edge")
    auth.serve(ListRevocations.route, handler, queue="auth")
    async with running(auth, edge):
        trace.set(new_trace())
        assert await edge.send(ListRevocations(since=41)) == Revocations(42, [], False)
        assert traces == [trace.get()]


async def test_line_ends_of_a_nonce_make_no_header(nats_server: NatsServer) -> None:
    """A deadline in the past, as a forged header, would leave the request without a reply."""
    nonces = []

    async def handler(request: ListRevocations) -> Revocations:
        nonces.append(request_nonce.get())
        return await watched(request)

    auth, edge = new_bus(nats_server, "auth"), new_bus(nats_server, "edge")
    auth.serve(ListRevocations.route, handler, queue="auth")
    async with running(auth, edge):
        for nonce in ("one\r\nDeadline: 1", "one\nDeadline: 1", "one\rDeadline: 1", "one"):
            await edge.request(ListRevocations.route, ListRevocations(), seconds=2, nonce=nonce)
    assert [set("\r\n") & set(nonce) for nonce in nonces] == [set()] * 4


async def test_what_is_flushed_has_left_before_the_event_loop_goes_on(nats_server: NatsServer) -> None:
    registry = CollectorRegistry()
    received: asyncio.Queue[bytes] = asyncio.Queue()
    message, edge = new_bus(nats_server, "message", registry), new_bus(nats_server, "edge")
    edge.subscribe(on.BROADCAST, received.put_nowait)
    async with running(message, edge):
        for payload in (b"one", b"two"):
            await message.publish(on.BROADCAST, payload)
        assert registry.get_sample_value("dragoman_bus_unsent_bytes")
        message.flush()
        assert registry.get_sample_value("dragoman_bus_unsent_bytes") == 0
        await message.publish(on.BROADCAST, b"three")
        async with asyncio.timeout(WAIT_SECONDS):
            assert [await received.get() for _ in range(3)] == [b"one", b"two", b"three"]
    message.flush()


@pytest.mark.skipif(bool(python(*sys.version_info[:3])), reason="this Python does not bound its buffers")
async def test_a_frozen_broker_delays_publishers_although_they_flush(nats_server: NatsServer) -> None:
    """While the broker is frozen, publishers wait. Otherwise, all messages would wait in memory."""
    received: asyncio.Queue[bytes] = asyncio.Queue()
    message, edge = new_bus(nats_server, "message"), new_bus(nats_server, "edge")
    edge.subscribe(on.BROADCAST, received.put_nowait)
    payload, times = b"x" * 100_000, 300

    async def talk() -> None:
        for _ in range(times):
            await message.publish(on.BROADCAST, payload)
            message.flush()

    async with running(message, edge):
        nats_server.pause()
        talking = asyncio.create_task(talk())
        done, _ = await asyncio.wait({talking}, timeout=0.5)
        nats_server.resume()
        assert not done
        async with asyncio.timeout(WAIT_SECONDS):
            await talking
            assert [await received.get() for _ in range(times)] == [payload] * times


async def test_an_error_reply_is_raised_by_the_request(nats_server: NatsServer) -> None:
    async def reject(_: ListRevocations) -> Revocations:
        raise RequestError(ErrorCode.CONFLICT, "taken", "email")

    auth, edge = new_bus(nats_server, "auth"), new_bus(nats_server, "edge")
    auth.serve(ListRevocations.route, reject)
    async with running(auth, edge):
        with pytest.raises(RequestError) as caught:
            await edge.send(ListRevocations())
    assert caught.value.failure == Failure(ErrorCode.CONFLICT, "taken", "email")


async def test_a_bug_is_answered_without_its_details(nats_server: NatsServer) -> None:
    async def fail(_: ListRevocations) -> Revocations:
        raise ValueError("the secret is 42")

    auth, edge = new_bus(nats_server, "auth"), new_bus(nats_server, "edge")
    auth.serve(ListRevocations.route, fail)
    async with running(auth, edge):
        with pytest.raises(RequestError) as caught:
            await edge.send(ListRevocations())
    assert caught.value.failure.code is ErrorCode.INTERNAL
    assert "42" not in caught.value.failure.text


async def test_no_answer_in_time_is_unavailable(nats_server: NatsServer) -> None:
    async def sleep(_: ListRevocations) -> Revocations:
        await asyncio.sleep(30)
        raise AssertionError

    auth, edge = new_bus(nats_server, "auth"), new_bus(nats_server, "edge")
    auth.serve(ListRevocations.route, sleep)
    async with running(edge):
        await auth.start()
        started = time.monotonic()
        with pytest.raises(Unavailable):
            await edge.send(ListRevocations(), seconds=0.4)
        assert 0.3 < time.monotonic() - started < 20
        await auth.stop(0.1)


async def test_a_broker_that_does_not_answer_is_named_in_the_log(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_REMINDER_SECONDS", 0.1)
    settings = nats_server.settings("edge").model_copy(
        update={"url": f"nats://user:secret@127.0.0.1:{free_port()}", "user": ""}
    )
    bus = Bus(settings, "edge", CollectorRegistry())
    with capture_logs() as logs:
        starting = asyncio.create_task(bus.start())
        await until(lambda: any("does not answer yet" in line["event"] for line in logs))
    starting.cancel()
    await asyncio.wait([starting])
    await bus.stop()
    line = next(line for line in logs if "does not answer yet" in line["event"])
    assert line["servers"] == [settings.url.rpartition("@")[2]]
    assert "secret" not in str(logs)


async def test_a_service_that_comes_late_still_answers(nats_server: NatsServer) -> None:
    edge, auth = new_bus(nats_server, "edge"), serving(nats_server)
    async with running(edge):
        requests = asyncio.ensure_future(edge.send(ListRevocations()))
        await asyncio.sleep(0.2)
        async with running(auth):
            assert (await requests).last == 1


async def test_a_frozen_broker_delays_and_what_is_late_is_dropped(nats_server: NatsServer) -> None:
    handled = []

    async def handler(request: ListRevocations) -> Revocations:
        handled.append(request.since)
        return await watched(request)

    auth, edge = new_bus(nats_server, "auth"), new_bus(nats_server, "edge")
    auth.serve(ListRevocations.route, handler)
    async with running(auth, edge):
        nats_server.pause()
        with pytest.raises(Unavailable):
            await edge.send(ListRevocations(since=1), seconds=0.5)
        nats_server.resume()
        assert (await edge.send(ListRevocations(since=2), retry=True)).last == 3
    assert handled == [2]


async def test_a_request_is_repeated_through_a_restart_of_the_broker(nats_server: NatsServer) -> None:
    disturbed: list[str] = []
    auth, edge = serving(nats_server), new_bus(nats_server, "edge")
    edge.notify_connection_lost(disturbed.append)
    async with running(auth, edge):
        nats_server.kill()
        requests = asyncio.ensure_future(edge.send(ListRevocations(), retry=True))
        await asyncio.to_thread(nats_server.start)
        assert (await requests).last == 1
    assert disturbed == ["reconnected"]


async def test_the_broker_may_come_after_the_services(nats_server: NatsServer) -> None:
    nats_server.kill()
    auth, edge = serving(nats_server), new_bus(nats_server, "edge")
    starting = asyncio.gather(auth.start(), edge.start())
    await asyncio.sleep(0.1)
    assert not starting.done()
    await asyncio.to_thread(nats_server.start)
    await starting
    assert (await edge.send(ListRevocations())).last == 1
    await asyncio.gather(auth.stop(), edge.stop())


def held(free: asyncio.Event, begun: list[int]) -> Callable[[ListRevocations], Awaitable[Revocations]]:
    """Replies once the event is set, and records the requests that it has begun."""

    async def answer(request: ListRevocations) -> Revocations:
        begun.append(request.since)
        await free.wait()
        return await watched(request)

    return answer


async def test_an_attempt_is_repeated_as_soon_as_its_connection_ends(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_sender, "LEAST_SECONDS", 1000.0)
    monkeypatch.setattr(request_sender, "MOST_SECONDS", 1000.0)
    free, begun = asyncio.Event(), list[int]()
    auth, edge = new_bus(nats_server, "auth"), new_bus(nats_server, "edge")
    auth.serve(ListRevocations.route, held(free, begun))
    async with running(auth, edge):
        reply = asyncio.ensure_future(edge.send(ListRevocations(1), seconds=3000.0, retry=True))
        await until(lambda: len(begun) == 1)
        await asyncio.to_thread(nats_server.restart)
        await until(lambda: len(begun) == 2)
        free.set()
        assert (await reply).last == 2


async def test_excess_requests_wait_in_order_and_those_beyond_the_queue_are_rejected(nats_server: NatsServer) -> None:
    free, begun = asyncio.Event(), list[int]()
    auth, edge = new_bus(nats_server, "auth"), new_bus(nats_server, "edge")
    auth.serve(ListRevocations.route, held(free, begun), concurrency=2, waiting=3)
    async with running(auth, edge):
        taken = [asyncio.ensure_future(edge.send(ListRevocations(number))) for number in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(RequestError) as caught:
            await edge.send(ListRevocations(5))
        assert caught.value.failure.code is ErrorCode.UNAVAILABLE
        assert begun == [0, 1]
        free.set()
        assert [reply.last for reply in await asyncio.gather(*taken)] == [1, 2, 3, 4, 5]
    assert begun == [0, 1, 2, 3, 4]


async def test_what_has_waited_past_its_deadline_is_not_begun(nats_server: NatsServer) -> None:
    free, begun = asyncio.Event(), list[int]()
    auth, edge = new_bus(nats_server, "auth"), new_bus(nats_server, "edge")
    auth.serve(ListRevocations.route, held(free, begun), concurrency=1)
    async with running(auth, edge):
        first = asyncio.ensure_future(edge.send(ListRevocations(1)))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await edge.send(ListRevocations(2), seconds=0.4)
        free.set()
        assert (await first).last == 2
        assert (await edge.send(ListRevocations(3))).last == 4
    assert begun == [1, 3]


async def test_an_attempt_that_nobody_waits_for_is_not_begun(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_sender, "MOST_SECONDS", 0.2)
    free, begun = asyncio.Event(), list[int]()
    auth, edge = new_bus(nats_server, "auth"), new_bus(nats_server, "edge")
    auth.serve(ListRevocations.route, held(free, begun), concurrency=1)
    async with running(auth, edge):
        first = asyncio.ensure_future(edge.send(ListRevocations(since=1)))
        while not begun:
            await asyncio.sleep(0.01)
        second = asyncio.ensure_future(edge.send(ListRevocations(since=2), retry=True))
        await asyncio.sleep(1.5)  # seven attempts are made in this time
        free.set()
        await asyncio.gather(first, second)
    assert begun[0] == 1
    assert 1 <= begun.count(2) <= 3


async def test_the_last_attempt_has_all_the_time_that_is_left(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, attempts, deadlines = 0.0, list[float](), list[float]()

    async def no_reply(_subject: str, _payload: bytes, seconds: float, headers: dict[str, str], **_how: bool) -> bytes:
        nonlocal now
        attempts.append(seconds)
        deadlines.append(float(headers["Deadline"]) - float(headers["Sent"]))
        now += seconds
        raise nats.errors.TimeoutError

    edge = new_bus(nats_server, "edge")
    monkeypatch.setattr(request_sender, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(edge._broker, "request", no_reply)
    with pytest.raises(Unavailable):
        await edge.send(ListRevocations(), seconds=7.0, retry=True)
    with pytest.raises(Unavailable):
        await edge.send(ListRevocations(), seconds=7.0)
    assert attempts == [0.5, 0.75, 1.125, 1.6875, 2.9375, 7.0]
    assert deadlines == pytest.approx([250, 375, 625, 1187, 2437, 6500], abs=1)


async def test_slow_replies_give_later_attempts_more_time(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, attempts = 0.0, list[float]()

    async def slow_reply(_subject: str, _payload: bytes, seconds: float, _headers: object, **_how: bool) -> bytes:
        nonlocal now
        attempts.append(seconds)
        now += 0.4
        return b"+" + pack(Revocations(0, [], False))

    edge = new_bus(nats_server, "edge")
    monkeypatch.setattr(request_sender, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(edge._broker, "request", slow_reply)
    for _ in range(40):
        await edge.send(ListRevocations(), retry=True)
    assert attempts[0] == request_sender.LEAST_SECONDS
    assert attempts[-1] == pytest.approx(1.2, rel=0.01)


async def test_a_silent_replica_does_not_hold_up_an_idempotent_request(nats_server: NatsServer) -> None:
    """A silent replica, such as a frozen one, is in the queue group, and does not reply."""
    begun, never = list[int](), asyncio.Event()
    silent, other, edge = new_bus(nats_server, "auth"), new_bus(nats_server, "auth"), new_bus(nats_server, "edge")
    silent.serve(ListRevocations.route, held(never, begun), queue="auth")
    other.serve(ListRevocations.route, watched, queue="auth")
    async with running(silent, other, edge):
        number = 0
        while not begun:
            number, began = number + 1, asyncio.get_running_loop().time()
            reply = await edge.send(ListRevocations(number), seconds=WAIT_SECONDS, retry=True)
            assert reply.last == number + 1
        assert asyncio.get_running_loop().time() - began >= request_sender.LEAST_SECONDS
        never.set()


async def test_replicas_share_the_requests(nats_server: NatsServer) -> None:
    counts = [0, 0]

    def replica(number: int) -> Bus:
        async def handler(request: ListRevocations) -> Revocations:
            counts[number] += 1
            return await watched(request)

        bus = new_bus(nats_server, "auth")
        bus.serve(ListRevocations.route, handler, queue="auth")
        return bus

    edge = new_bus(nats_server, "edge")
    async with running(replica(0), replica(1), edge):
        await asyncio.gather(*(edge.send(ListRevocations()) for _ in range(100)))
    assert sum(counts) == 100
    assert min(counts) > 10


async def test_taken_requests_come_in_order_and_are_answered_later(nats_server: NatsServer) -> None:
    taken: list[tuple[int, Responder]] = []
    enough = asyncio.Event()

    def take(request: ListRevocations, responder: Responder) -> None:
        taken.append((request.since, responder))
        if len(taken) == 50:
            enough.set()

    auth, edge = new_bus(nats_server, "auth"), new_bus(nats_server, "edge")
    auth.serve_deferred(ListRevocations.route, take, queue="auth")
    async with running(auth, edge):
        requests = [asyncio.ensure_future(edge.send(ListRevocations(number))) for number in range(50)]
        await enough.wait()
        assert [number for number, _ in taken] == list(range(50))
        for number, responder in reversed(taken):
            if number:
                await responder.reply(Revocations(number, [], False))
            else:
                await responder.reply_error(Failure(ErrorCode.LIMIT, "no"))
        replies = await asyncio.gather(*requests, return_exceptions=True)
    assert isinstance(replies[0], RequestError)
    assert [reply.last for reply in replies[1:] if isinstance(reply, Revocations)] == list(range(1, 50))


async def test_a_listener_hears_all_in_order_whatever_it_raises(nats_server: NatsServer) -> None:
    received: list[bytes] = []
    enough = asyncio.Event()

    def hear(data: bytes) -> None:
        received.append(data)
        if len(received) == 100:
            enough.set()
        if data == b"13":
            raise ValueError(data)

    message, edge = new_bus(nats_server, "message"), new_bus(nats_server, "edge")
    edge.subscribe(on.BROADCAST, hear)
    async with running(edge, message):
        for number in range(100):
            await message.publish(on.BROADCAST, str(number).encode())
        await enough.wait()
    assert received == [str(number).encode() for number in range(100)]


async def test_messages_published_before_the_stop_are_delivered(nats_server: NatsServer) -> None:
    received: list[bytes] = []
    message, edge = new_bus(nats_server, "message"), new_bus(nats_server, "edge")
    edge.subscribe(on.BROADCAST, received.append)
    async with running(edge, message):
        for number in range(5_000):
            await message.publish(on.BROADCAST, b"%d" % number)
        await message.check()
        await edge.drain()
        for number in range(10):
            await message.publish(on.BROADCAST, b"%d" % -number)
        await message.check()
        await edge.check()
    assert received == [b"%d" % number for number in range(5_000)]


async def test_what_was_received_before_the_stop_is_answered(nats_server: NatsServer) -> None:
    begun = asyncio.Event()

    async def slow(request: ListRevocations) -> Revocations:
        begun.set()
        await asyncio.sleep(0.05)
        return await watched(request)

    auth, edge = new_bus(nats_server, "auth"), new_bus(nats_server, "edge")
    auth.serve(ListRevocations.route, slow, queue="auth", concurrency=100)
    async with running(edge):
        await auth.start()
        requests = [asyncio.ensure_future(edge.send(ListRevocations(), seconds=3)) for _ in range(500)]
        await begun.wait()
        await edge.check()  # NATS has now delivered all requests
        await auth.stop()
        replies = await asyncio.gather(*requests, return_exceptions=True)
    assert [reply for reply in replies if not isinstance(reply, Revocations)] == []


async def test_check_is_a_real_round_trip(nats_server: NatsServer) -> None:
    edge = new_bus(nats_server, "edge")
    async with running(edge):
        await edge.check()
        nats_server.pause()
        with pytest.raises((TimeoutError, nats.errors.Error)):
            await edge.check(0.2)
        nats_server.resume()
        await edge.check()
        nats_server.kill()
        await _until_raises(edge)
        await asyncio.to_thread(nats_server.start)


async def _until_raises(bus: Bus) -> None:
    while True:
        try:
            await bus.check(0.2)
        except (TimeoutError, nats.errors.Error):
            return


async def test_a_subject_without_grant_is_rejected_and_counted(nats_server: NatsServer) -> None:
    registry = CollectorRegistry()
    session = new_bus(nats_server, "session", registry)
    async with running(session):
        with pytest.raises(Unavailable):
            await session.send(ListRevocations(), seconds=0.3)
    assert registry.get_sample_value("dragoman_bus_errors_total", {"kind": "permission"})


async def test_what_waits_to_be_sent_is_seen_and_keeps_nobody_from_ending(nats_server: NatsServer) -> None:
    registry = CollectorRegistry()
    session = new_bus(nats_server, "session", registry)
    assert registry.get_sample_value("dragoman_bus_unsent_bytes") == 0
    async with running(session):
        nats_server.kill()
        await _until_raises(session)
        await session.publish(on.notify(NodeId("edge-1")), b"x" * 1000)
        assert (registry.get_sample_value("dragoman_bus_unsent_bytes") or 0) >= 1000


async def test_a_wrong_password_is_an_error_at_once(nats_server: NatsServer) -> None:
    settings = nats_server.settings("edge").model_copy(update={"password": SecretStr("wrong")})
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await Bus(settings, "edge", CollectorRegistry()).start()


async def test_a_process_that_the_broker_turns_away_ends(nats_server: NatsServer) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    edge = new_bus(nats_server, "edge")
    await edge.start()
    config = nats_server.config.read_bytes()
    try:
        nats_server.kill()
        nats_server.config.write_bytes(config.replace(nats_server.passwords["edge"].encode(), b"changed"))
        await asyncio.to_thread(nats_server.start)
        await ended.wait()
        await edge.stop(0.5)
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        nats_server.config.write_bytes(config)


async def test_a_cancellation_that_comes_with_the_answer_is_not_forgotten(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = NatsClient._answer

    def both(client: NatsClient, message: Msg) -> None:
        answer(client, message)
        requesting.cancel()

    monkeypatch.setattr(NatsClient, "_answer", both)
    edge = serving(nats_server), new_bus(nats_server, "edge")
    async with running(*edge):
        requesting = asyncio.create_task(edge[1].send(ListRevocations()))
        await asyncio.wait([requesting])
        assert requesting.cancelled()


async def test_a_subject_is_received_or_not(nats_server: NatsServer) -> None:
    """Messages that were sent before are still handled. A repeated call changes nothing."""
    edge, message, seen = new_bus(nats_server, "edge"), new_bus(nats_server, "message"), list[bytes]()
    edge.subscribe(on.BROADCAST, seen.append)
    edge.subscribe(on.HEARTBEAT, seen.append)

    async def send(text: bytes) -> None:
        await message.publish(on.BROADCAST, text)
        await message.publish(on.HEARTBEAT, b"after " + text)
        await until(lambda: b"after " + text in seen)

    async with running(edge, message):
        await send(b"1")
        await edge.receive(on.BROADCAST, False)
        await edge.receive(on.BROADCAST, False)
        await send(b"2")
        await edge.receive(on.BROADCAST, True)
        await edge.receive(on.BROADCAST, True)
        await send(b"3")
        await send(b"4")
    assert [text for text in seen if not text.startswith(b"after")][:2] == [b"1", b"3"]
    assert seen.count(b"3") == 1


async def test_a_cancelled_start_leaves_no_connection(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    connected = asyncio.Event()

    async def settle(_: connection.BrokerConnection) -> None:
        connected.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(connection.BrokerConnection, "_settle", settle)
    bus = Bus(nats_server.settings("edge"), "edge", CollectorRegistry())
    start = asyncio.create_task(bus.start())
    async with asyncio.timeout(WAIT_SECONDS):
        await connected.wait()
    assert bus._broker.client.is_connected
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert bus._broker.client.is_closed
