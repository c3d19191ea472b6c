"""The edge sends edits and recalls to the message service: first to the leader of the chat, then to any replica."""

import pytest

from services.edge.canonical.commands import EditMessage
from services.edge.client.posts import nonce_of
from services.edge.handlers.messages import MessageChanger
from services.edge.upstream.attempt import ANY
from shared.contract import subjects
from shared.contract.body import unpack
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import Changed, ChangeMessage, EditText, RecallText
from shared.contract.model import Text
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient
from tests.unit.services.edge.fake_services import FakeService

ME, CHAT = AccountId(1), ChatId(7)


class ChangedMessages(FakeService):
    """A fake message service. `leader` is an error that only the replica "one" returns."""

    def __init__(self, cluster: EdgeCluster) -> None:
        super().__init__("message", cluster.nats)
        self.leader: ErrorCode | None = None
        self.received: list[tuple[str, ChangeMessage]] = []
        self.bus.serve(ChangeMessage.route, self._any, queue="message")
        self.bus.serve(subjects.change("one"), self._leader)

    async def _any(self, request: ChangeMessage) -> Changed:
        self.received.append(("any", request))
        return Changed(1, 2)

    async def _leader(self, request: ChangeMessage) -> Changed:
        self.received.append(("one", request))
        if self.leader is not None:
            raise RequestError(self.leader, "no")
        return Changed(3, 4)


class OneLeader:
    def __init__(self) -> None:
        self.name = "one"

    def leader(self, _chat: ChatId, _now: float) -> str:
        return self.name


@pytest.fixture
async def messages(cluster: EdgeCluster) -> ChangedMessages:
    service = ChangedMessages(cluster)
    await cluster.run(service.bus)
    return service


@pytest.fixture
async def client(cluster: EdgeCluster) -> EdgeClient:
    await cluster.add_edge()
    return await cluster.client(ME)


def changer(cluster: EdgeCluster, leaders: OneLeader) -> MessageChanger:
    edge = cluster.edges[0]
    return MessageChanger(edge.bus, edge.id, leaders, None, lambda: 0.0)  # type: ignore[arg-type]


async def test_the_leader_is_requested_first(
    cluster: EdgeCluster, client: EdgeClient, messages: ChangedMessages
) -> None:
    leaders = OneLeader()
    made, session = changer(cluster, leaders), client.client.session
    edit = EditMessage(CHAT, 4, (Text("new"),), "n", if_rev=2)
    assert await made.change(session, edit) == Changed(3, 4)
    ((replica, request),) = messages.received
    assert (replica, request.chat, request.index, request.actor) == ("one", CHAT, 4, ME)
    assert request.origin == (cluster.edges[0].id, client.client.connection.number)
    assert isinstance(request.change, EditText)
    assert request.face == session.summary() is not None
    assert (request.change.nonce, request.change.if_rev) == (nonce_of(ME, CHAT, "n"), 2)
    body = unpack(request.change.body)
    assert (body.segments, body.edited) == ((Text("new"),), True)
    messages.leader = ErrorCode.UNAVAILABLE
    assert await made.change(session, edit) == Changed(1, 2)
    leaders.name = "gone"
    assert await made.change(session, edit) == Changed(1, 2)
    leaders.name = ANY
    assert await made.change(session, ChangeMessage(CHAT, 4, RecallText())) == Changed(1, 2)
    assert [replica for replica, _ in messages.received] == ["one", "one", "any", "any", "any"]


async def test_a_rejection_of_the_leader_is_final(
    cluster: EdgeCluster, client: EdgeClient, messages: ChangedMessages
) -> None:
    messages.leader = ErrorCode.FORBIDDEN
    with pytest.raises(RequestError):
        await changer(cluster, OneLeader()).change(client.client.session, ChangeMessage(CHAT, 4, RecallText()))
    assert [replica for replica, _ in messages.received] == ["one"]
