"""The messages of one chat, as a client of the dialect native keeps them, and its records."""

import asyncio
import json

from websockets.asyncio.server import ServerConnection, serve

from clients.codec.base import ClientAccount
from tests.drills.device import DrillUser
from tests.drills.follower import Follower, HeldMessages
from tests.drills.records import Closed, MessageAcknowledged, MessageReceived, MessageSent, Opened, Record
from tests.support.waiting import WAIT_SECONDS


def test_messages_are_in_index_order_and_come_once() -> None:
    held = HeldMessages()
    arriving = [3, 2, 3, 1, 2, 5, 4, 5]
    ready = [[one["index"] for one in held.add({"index": index})] for index in arriving]
    assert ready == [[], [], [], [1, 2, 3], [], [], [4, 5], []]
    assert held.last == 5


async def test_each_attempt_of_a_message_is_recorded() -> None:
    """Its time without an answer is that of one attempt: invariant I9."""
    records: list[Record] = []
    rejections = [{"code": "unavailable", "text": "the bus is away"}] * 2

    async def serve_native(connection: ServerConnection) -> None:
        async for text in connection:
            request = json.loads(text)
            reply: dict[str, object] = {"re": request["id"]}
            match request["op"]:
                case "login":
                    reply |= {"account": 1, "token": "t"}
                case "sync":
                    reply |= {"epoch": "e", "reset": False, "chats": []}
                    await connection.send('{"ev":"synced"}')
                case "send" if rejections:
                    reply |= {"error": rejections.pop()}
                case "send":
                    reply |= {"chat": request["chat"], "index": 1, "id": 7, "time": 1}
            await connection.send(json.dumps(reply))

    user = DrillUser(ClientAccount("ann", "x", 1), [5])
    async with serve(serve_native, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        follower = Follower(user, [("edge-1", f"ws://127.0.0.1:{port}")], records.append)
        living = asyncio.create_task(follower.live())
        async with asyncio.timeout(WAIT_SECONDS):
            await follower.send_last_message()
        living.cancel()
        await asyncio.wait([living])
    kinds = [type(record) for record in records]
    assert kinds == [Opened, MessageSent, MessageSent, MessageSent, MessageReceived, MessageAcknowledged, Closed]
