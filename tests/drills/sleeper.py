"""A user of the dialect pipe who is offline most of the time.

The reply to each login says how many messages are unread.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any

from dragoman_client.aio import AsyncConnection, connect
from dragoman_client.codec import CODECS
from dragoman_client.codec.base import ClientAccount
from dragoman_client.codec.events import ReceivedMessage, ServerReply
from dragoman_client.errors import ClientError
from tests.drills.device import Edge
from tests.drills.recorded_connection import Journal
from tests.drills.records import SleeperCutOff, UnreadFetched, UnreadShown

_PIPE = CODECS["pipe"]
_CONNECT_SECONDS, _REPLY_SECONDS = 3.0, 12.0
_LONGEST_SLEEP_SECONDS = 3.0
_LISTENING_SECONDS = 0.3
_ORDERLY = (1000, 1012)


class Sleeper:
    """The user, who is the listener of its own connection (dragoman_client.aio.Listener).

    The account is one of OurChat v2; `password` is plain text.
    """

    def __init__(self, number: int, password: str, edges: Sequence[Edge], journal: Journal) -> None:
        self.number = number
        self._account = ClientAccount(secret=password, number=number)
        self._edges = edges
        self._journal = journal

    async def live(self) -> None:
        """Logs in and out repeatedly until the task is cancelled."""
        while True:
            await asyncio.sleep(random.uniform(0, _LONGEST_SLEEP_SECONDS))
            try:
                connection = await self._connect()
                await self._look(connection)
            except (ClientError, TimeoutError):
                self._journal(SleeperCutOff(time.monotonic(), self.number))

    async def _connect(self) -> AsyncConnection:
        _, url = random.choice(self._edges)
        async with asyncio.timeout(_CONNECT_SECONDS):
            return await connect(url + _PIPE.path, _PIPE, self)

    async def _look(self, connection: AsyncConnection) -> None:
        """Raises ClientError."""
        try:
            began = time.monotonic()
            reply = await connection.request(_PIPE.login(self._account), _REPLY_SECONDS)
            self._journal(UnreadShown(time.monotonic(), began, self.number, int(reply.fields[-1])))
            if random.random() < 1 / 2:
                self._account.token = reply.token
                for request in _PIPE.missed(self._account, 0, 0):
                    if request.reply is None:
                        connection.send(request.frame)
                    else:
                        await connection.request(request, _REPLY_SECONDS)
            await asyncio.sleep(_LISTENING_SECONDS)
        finally:
            self._account.token = ""
            await connection.close()
        if connection.close_code not in _ORDERLY:
            self._journal(SleeperCutOff(time.monotonic(), self.number))

    def received(self, event: Any, now: int) -> None:
        if isinstance(event, ReceivedMessage):
            text = event.text.partition(": ")[2]
            self._journal(UnreadFetched(time.monotonic(), self.number, text))

    def replied(self, reply: ServerReply, now: int) -> None:
        return

    def ended(self) -> None:
        return
