"""An account's own changes reach its other connections, on two edges."""

from typing import Any

import pytest

from shared.contract.ids import AccountId, ChatId
from shared.contract.message import PostMessages
from tests.unit.services.edge.client.test_named_messages import NativeClient, connect
from tests.unit.services.edge.conftest import EdgeCluster

ANN, BOB, CHAT = AccountId(1), AccountId(2), ChatId(5)


async def _connected(cluster: EdgeCluster) -> list[NativeClient]:
    """Connects Ann once, and Bob three times: twice on Ann's edge, and once on another edge."""
    edges = [await cluster.add_edge(), await cluster.add_edge()]
    cluster.backend.add_chat(CHAT, ANN, BOB)
    bob = [await connect(cluster, BOB, edge) for edge in (edges[0], *edges)]
    return [await connect(cluster, ANN, edges[0]), *bob]


@pytest.mark.parametrize(
    ("command", "reply", "shown"),
    [
        (
            {"op": "mute", "chat": CHAT, "until": 9},
            {},
            {"ev": "mute", "chat": CHAT, "until": 9, "mentions_only": False},
        ),
        ({"op": "set_settings", "level": "none"}, {"rev": 7}, {"ev": "own_settings", "rev": 7, "level": "none"}),
        (
            {"op": "set_place", "chat": CHAT, "pinned": True},
            {},
            {"ev": "place", "chat": CHAT, "pinned": True, "archived": True},
        ),
        (
            {"op": "set_draft", "chat": CHAT, "text": "hel", "reply_to": 3},
            {"rev": 2},
            {"ev": "draft", "chat": CHAT, "rev": 2, "text": "hel", "reply_to": 3},
        ),
    ],
)
async def test_what_it_sets_is_the_same_on_all_devices_and_shown_to_no_other_member(
    cluster: EdgeCluster, command: dict[str, Any], reply: dict[str, Any], shown: dict[str, Any]
) -> None:
    ann, first, second, far = await _connected(cluster)
    number = first.send(**command)
    assert await first.reply(number) == {"re": number, **reply}
    for other in (second, far):
        await other.socket.until(lambda: shown in other.events)  # noqa: B023
    assert shown not in (*ann.events, *first.events)


async def test_a_sent_draft_is_gone_on_all_devices(cluster: EdgeCluster) -> None:
    """If the change is rejected as a conflict, the draft stays on all devices."""
    ann, first, second, far = await _connected(cluster)
    number = first.send(op="set_draft", chat=CHAT, text="hello", base=9)
    assert await first.reply(number) == {"re": number, "conflict": {"rev": 2, "text": "hi"}}
    number = first.send(op="send", chat=CHAT, text="hello", nonce="1", draft=7)
    assert (await first.reply(number))["index"] == 1
    shown = {"ev": "draft", "chat": CHAT, "rev": 7, "text": ""}
    for other in (second, far):
        await other.socket.until(lambda: shown in other.events)  # noqa: B023
    drafts = [[event for event in one.events if event["ev"] == "draft"] for one in (ann, first, second, far)]
    assert drafts == [[], [], [shown], [shown]]
    (posted,) = cluster.message.requests_of(PostMessages)
    assert [draft.saved for draft in posted.drafts] == [7]
