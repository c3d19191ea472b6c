"""Requests to a session of the version before, which lacks a subject or leaves fields out, over the real bus."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.edge.handlers.forwarding import Forwarder
from shared.bus.client import Bus
from shared.contract import subjects as on
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.members import AddMembers, ListMembers, MemberList, MemberRole
from shared.contract.model import Role
from shared.contract.moderation import SetChat
from shared.contract.session import Ack, ChatVersion, EndMembership
from shared.contract.subjects import Route
from tests.support.servers import NatsServer

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

    session.serve(Route(on.END_MEMBERSHIP.subject, EndMembership, Ack), end_membership, queue="session")
    session.serve(Route(on.SET_CHAT.subject, SetChat, Ack), set_chat, queue="session")
    session.serve(Route(on.LIST_MEMBERS.subject, ListMembers, FormerMemberList), list_members, queue="session")
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
