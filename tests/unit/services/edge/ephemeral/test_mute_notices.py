"""What an account has muted, on two edges."""

from shared.contract.ids import AccountId, ChatId
from shared.contract.session import MuteChat
from tests.unit.services.edge.client.test_named_messages import connect
from tests.unit.services.edge.conftest import EdgeCluster

ANN, BOB, CHAT = AccountId(1), AccountId(2), ChatId(5)


async def test_the_other_connections_of_the_account_see_it(cluster: EdgeCluster) -> None:
    """Neither the one that has muted the chat does, nor another member."""
    edges = [await cluster.add_edge(), await cluster.add_edge()]
    cluster.backend.add_chat(CHAT, ANN, BOB)
    ann = await connect(cluster, ANN, edges[0])
    first, second, far = [await connect(cluster, BOB, edge) for edge in (edges[0], *edges)]
    for until in (9, 0):
        number = first.send(op="mute", chat=CHAT, until=until)
        assert await first.reply(number) == {"re": number}
        shown = {"ev": "mute", "chat": CHAT, "until": until, "mentions_only": False}
        for other in (second, far):
            await other.socket.until(lambda: shown in other.events)  # noqa: B023
    assert [one.until for one in cluster.session.requests_of(MuteChat)] == [9, 0]
    for one in (ann, first):
        assert not [event for event in one.events if event["ev"] == "mute"]
