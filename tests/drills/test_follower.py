"""The records of a follower."""

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from clients.codec.base import ClientAccount
from tests.drills import follower as followers
from tests.drills.device import DrillUser
from tests.drills.follower import Follower
from tests.drills.records import (
    ChangeAcknowledged,
    ChangeRequested,
    LastStatesSeen,
    MessageAcknowledged,
    MessageReceived,
    MessageSent,
    Opened,
    Record,
)
from tests.support.waiting import WAIT_SECONDS

CHAT = 5


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followers, "_LONGEST_SLEEP_SECONDS", 0.0)


class SmallServer:
    """It has one message, and the changes of it. It rejects the first attempts to send it, and ends the connection at
    the first change, which it makes."""

    def __init__(self) -> None:
        self.rejections = [{"code": "unavailable", "text": "the bus is away"}] * 2
        self.text = ""
        self.changes: list[str] = []
        """The name of each edit, and what identifies the others."""
        self.revs: list[int] = []
        """Of each request for a change: one that comes again has its first."""

    async def serve(self, connection: ServerConnection) -> None:
        async for text in connection:
            request = json.loads(text)
            is_first = not self.changes
            reply = {"re": request["id"], **self.reply(request)}
            if is_first and self.changes:
                return
            await connection.send(json.dumps(reply))
            if request["op"] == "sync":
                await connection.send('{"ev":"synced"}')

    def reply(self, request: dict[str, Any]) -> dict[str, Any]:
        rev = len(self.changes)
        match request["op"]:
            case "login":
                return {"account": 1, "token": "t"}
            case "sync":
                return {"epoch": "e", "reset": False, "chats": []}
            case "send" if self.rejections:
                return {"error": self.rejections.pop()}
            case "send":
                self.text = request["text"]
                return {"chat": CHAT, "index": 1, "id": 7, "time": 1}
            case "history":
                message: dict[str, Any] = {"chat": CHAT, "index": 1, "id": 7, "sender": 1, "time": 1}
                message["segments"] = [{"t": "text", "text": self.text}]
                return {"messages": [message], "head": 1, "more": False, "rev": rev}
            case "changes":
                return {"changes": [], "rev": rev, "more": False}
        identity = str(request.get("nonce", request))
        if identity not in self.changes:
            self.changes.append(identity)
        self.revs.append(self.changes.index(identity) + 1)
        return {"rev": self.revs[-1]}


async def records_of(server: SmallServer) -> list[Record]:
    records: list[Record] = []
    user = DrillUser(ClientAccount("ann", "x", 1), [CHAT])
    async with serve(server.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        follower = Follower(user, [("edge-1", f"ws://127.0.0.1:{port}")], records.append)
        living = asyncio.create_task(follower.live())
        async with asyncio.timeout(WAIT_SECONDS):
            await follower.finish()
        living.cancel()
        await asyncio.wait([living])
    return records


async def test_each_attempt_of_a_message_is_recorded() -> None:
    """Its time without an answer is that of one attempt: invariant I9."""
    kinds = [type(record) for record in await records_of(SmallServer())]
    assert kinds[:6] == [Opened, MessageSent, MessageSent, MessageSent, MessageReceived, MessageAcknowledged]


async def test_a_change_without_a_reply_is_repeated_on_the_next_connection() -> None:
    server = SmallServer()
    records = await records_of(server)
    requests = [record for record in records if isinstance(record, ChangeRequested)]
    acks = [record for record in records if isinstance(record, ChangeAcknowledged)]
    assert requests[0].name == requests[1].name == acks[0].name
    assert requests[0].connection < requests[1].connection == acks[0].connection
    assert [ack.rev for ack in acks] == server.revs[1:]
    assert {ack.rev for ack in acks} == set(range(1, len(server.changes) + 1))
    assert {(one.chat, one.index, one.msg_id) for one in requests} == {(CHAT, 1, 7)}


async def test_the_last_states_are_recorded_as_the_follower_has_them_and_reads_them() -> None:
    server = SmallServer()
    last = [record for record in await records_of(server) if isinstance(record, LastStatesSeen)]
    assert [(one.chat, one.rev, one.anew) for one in last] == [
        (CHAT, len(server.changes), anew) for anew in (False, True)
    ]
    assert [one.messages[0].text for one in last] == [server.text] * 2
