"""The edge repeats requests over a real NATS until they get a reply."""

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.edge.handlers.accounts import Forwarder
from shared.bus.client import Bus
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Role
from shared.contract.subjects import FORWARDED
from shared.request_nonce import request_nonce
from tests.support.servers import NatsServer

ANN, BOB, CHAT = AccountId(1), AccountId(2), ChatId(5)


_SAMPLES = {AccountId: 2, ChatId: 5, str: "x", bool: True, int: 1, Role: Role.MEMBER}


async def rejection(action: Awaitable[Any]) -> Failure:
    with pytest.raises(RequestError) as caught:
        await action
    return caught.value.failure


def sample(kind: type[Any]) -> Any:
    """Returns a command with its required fields. The edge does not look at their values."""
    fields = [field for field in msgspec.structs.fields(kind) if field.required]
    return msgspec.convert({field.name: _SAMPLES.get(field.type, []) for field in fields}, kind)


async def test_every_command_is_repeated_until_it_is_answered_under_one_nonce(nats_server: NatsServer) -> None:
    """The first attempt is lost together with the replica that has received it."""
    names = ("edge", "session", "auth", "message")
    buses = {name: Bus(nats_server.settings(name), name, CollectorRegistry()) for name in names}
    nonces: dict[type, list[str]] = {}
    routes = {route.request: route for route in FORWARDED if route.request.route is route}
    for kind, route in routes.items():
        nonces[kind] = []

        async def handle(_: Any, received: list[str] = nonces[kind]) -> Any:
            received.append(request_nonce.get())
            if len(received) == 1:
                await asyncio.Event().wait()
            raise RequestError(ErrorCode.FORBIDDEN, "no")

        buses[route.subject.partition(".")[0]].serve(route, handle, queue="q")
    async with AsyncExitStack() as stack:
        for bus in buses.values():
            await bus.start()
            stack.push_async_callback(bus.stop, 0.1)
        forwarder = Forwarder(buses["edge"])
        failures = await asyncio.gather(*(rejection(forwarder.forward(sample(kind), ANN)) for kind in routes))
    assert {one.code for one in failures} == {ErrorCode.FORBIDDEN}
    for kind, received in nonces.items():
        assert len(received) > 1, kind
        assert len(set(received)) == 1, kind
    assert len({received[0] for received in nonces.values()} - {""}) == len(nonces)


async def test_a_client_s_nonce_is_that_of_the_request_at_every_edge(nats_server: NatsServer) -> None:
    buses = [Bus(nats_server.settings(name), name, CollectorRegistry()) for name in ("edge", "edge", "session")]
    received: list[str] = []

    async def handle(_: Any) -> Any:
        received.append(request_nonce.get())
        raise RequestError(ErrorCode.FORBIDDEN, "no")

    making = [route.request for route in FORWARDED if "nonce" in route.request.__struct_fields__]
    for kind in making:
        buses[-1].serve(kind.route, handle, queue="q")
    async with AsyncExitStack() as stack:
        for bus in buses:
            await bus.start()
            stack.push_async_callback(bus.stop)
        one, other = (Forwarder(bus) for bus in buses[:2])
        for kind in making:
            command = msgspec.structs.replace(sample(kind), nonce="n")
            for forwarder, actor in ((one, ANN), (other, ANN), (one, BOB)):
                await rejection(forwarder.forward(command, actor))
    assert received == received[:3] * len(making)
    assert received[0] == received[1] != received[2]
