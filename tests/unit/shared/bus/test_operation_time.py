"""All requests of an operation share its time limit. A cancelled request is not counted."""

import asyncio
import time

import pytest
from prometheus_client import CollectorRegistry

from shared.contract.auth import ListRevocations, Revocations
from shared.contract.errors import RequestError
from shared.tasks import Tasks, operation
from tests.support.servers import NatsServer
from tests.support.waiting import WAIT_SECONDS
from tests.unit.shared.bus.test_client import new_bus, running, watched


async def test_the_requests_of_an_operation_share_its_time(nats_server: NatsServer) -> None:
    """Requests of a background task have no such limit, because it may continue after the operation has ended."""
    auth, edge, tasks, ended = new_bus(nats_server, "auth"), new_bus(nats_server, "edge"), Tasks(), asyncio.Event()

    async def handler(request: ListRevocations) -> Revocations:
        await (asyncio.sleep(0.7) if request.since < 3 else ended.wait())
        return await watched(request)

    auth.serve(ListRevocations.route, handler)
    async with running(auth, edge):
        with operation(1.0):
            background = tasks.start(edge.send(ListRevocations(since=2)), "background")
            assert (await edge.send(ListRevocations(since=1))).last == 2
            began = time.monotonic()
            with pytest.raises(RequestError):
                await asyncio.gather(*(edge.send(ListRevocations(since=3), retry=retry) for retry in (False, True)))
            assert time.monotonic() - began < WAIT_SECONDS / 2
            with pytest.raises(RequestError):
                await edge.send(ListRevocations(since=1))
        assert (await background).last == 3
        await tasks.close()
        ended.set()


async def test_a_cancelled_request_leaves_the_state_of_its_service_alone(nats_server: NatsServer) -> None:
    received, ended, registry = asyncio.Event(), asyncio.Event(), CollectorRegistry()

    async def handler(request: ListRevocations) -> Revocations:
        received.set()
        await ended.wait()
        return await watched(request)

    auth, edge = new_bus(nats_server, "auth"), new_bus(nats_server, "edge", registry)
    auth.serve(ListRevocations.route, handler, queue="auth")
    async with running(auth, edge):
        requesting = asyncio.create_task(edge.send(ListRevocations(since=41)))
        await asyncio.wait_for(received.wait(), WAIT_SECONDS)
        requesting.cancel()
        await asyncio.wait([requesting])
        assert registry.get_sample_value("dragoman_service_available", {"service": "auth"}) is None
        ended.set()
