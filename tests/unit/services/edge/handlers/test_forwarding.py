"""Requests over the real bus: repeated until they are answered; and to a session of the version before, which lacks a
subject or leaves fields out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.edge.handlers.forwarding import Forwarder
from shared.bus.client import Bus
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.members import AddMembers, EndMembership, ListMembers, MemberList, MemberRole, SetChat
from shared.contract.model import Role
from shared.contract.routes import Ack, Route
from shared.contract.session import ChatVersion
from shared.contract.subjects import FORWARDED
from shared.request_nonce import request_nonce
from tests.support.servers import NatsServer
from tests.support.waiting import WAIT_SECONDS

ANN, BOB, CHAT = AccountId(1), AccountId(2), ChatId(5)


class FormerMemberList(msgspec.Struct):
    members: list[MemberRole]
    more: bool = False
    silenced: int = 0


@pytest.fixture
async def edge(nats_server: NatsServer) -> AsyncIterator[Bus]:
    """Beside a session that serves three subjects as it did."""
    edge, session = (Bus(nats_server.settings(name), name, CollectorRegistry()) for name in ("edge", "session"))

    async def end_membership(request: EndMembership) -> Ack:
        return Ack()

    async def set_chat(request: SetChat) -> Ack:
        return Ack()

    async def list_members(request: ListMembers) -> FormerMemberList:
        return FormerMemberList([MemberRole(ANN, Role.OWNER, 0, "Ann")])

    session.serve(Route(EndMembership.route.subject, EndMembership, Ack), end_membership, queue="session")
    session.serve(Route(SetChat.route.subject, SetChat, Ack), set_chat, queue="session")
    session.serve(Route(ListMembers.route.subject, ListMembers, FormerMemberList), list_members, queue="session")
    async with AsyncExitStack() as stack:
        for bus in (edge, session):
            await bus.start()
            stack.push_async_callback(bus.stop)
        yield edge


@pytest.mark.parametrize(
    "command",
    [
        AddMembers(CHAT, [BOB]),
        SetChat(CHAT, edit_seconds=0, topic="words"),
        SetChat(CHAT, recall_seconds=None),
        SetChat(CHAT, history_for_new=False),
    ],
)
async def test_what_it_lacks_is_unavailable(edge: Bus, command: AddMembers | SetChat) -> None:
    """Settings that it does not know, too, which it would ignore."""
    with pytest.raises(RequestError) as caught:
        await Forwarder(edge, 0.5).forward(command, ANN)
    assert caught.value.failure.code is ErrorCode.UNAVAILABLE


async def test_versions_that_it_does_not_send_are_not_known(edge: Bus) -> None:
    """It lists all members, whatever version the client knows."""
    forwarder = Forwarder(edge, 5.0)
    assert await forwarder.forward(EndMembership(CHAT, BOB), ANN) == ChatVersion(0)
    assert await forwarder.forward(SetChat(CHAT, topic="words"), ANN) == ChatVersion(0)
    listed = await forwarder.forward(ListMembers(CHAT, since=3), ANN)
    assert listed == MemberList([MemberRole(ANN, Role.OWNER, 0, "Ann")], version=0, since=0)


_SAMPLES = {AccountId: 2, ChatId: 5, str: "x", bool: True, int: 1, Role: Role.MEMBER}


async def rejection(action: Awaitable[Any]) -> Failure:
    with pytest.raises(RequestError) as caught:
        await action
    return caught.value.failure


def sample(kind: type[Any]) -> Any:
    """With the fields that it needs, none of which the edge looks at."""
    fields = [field for field in msgspec.structs.fields(kind) if field.required]
    return msgspec.convert({field.name: _SAMPLES.get(field.type, []) for field in fields}, kind)


async def test_every_command_is_repeated_until_it_is_answered_under_one_nonce(nats_server: NatsServer) -> None:
    """The first attempt is lost, with the replica that has it."""
    buses = {name: Bus(nats_server.settings(name), name, CollectorRegistry()) for name in ("edge", "session", "auth")}
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
        forwarder = Forwarder(buses["edge"], WAIT_SECONDS)
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
        one, other = (Forwarder(bus, WAIT_SECONDS) for bus in buses[:2])
        for kind in making:
            command = msgspec.structs.replace(sample(kind), nonce="n")
            for forwarder, actor in ((one, ANN), (other, ANN), (one, BOB)):
                await rejection(forwarder.forward(command, actor))
    assert received == received[:3] * len(making)
    assert received[0] == received[1] != received[2]
