"""A user of the protocol pipe in the soak. It repeats messages that were not acknowledged."""

import asyncio
import secrets

from dragoman_client.aio import AsyncConnection, NullListener, connect
from dragoman_client.codec import CODECS
from dragoman_client.codec.base import ClientAccount, Destination
from dragoman_client.errors import ClientError

_CODEC = CODECS["pipe"]
_SECONDS = 5.0


class LegacyUser:
    """The user.

    `acknowledged` is the number of acknowledged messages. `last_error` is the reason why the user last repeated a
    message.
    """

    def __init__(self, server: str) -> None:
        self.acknowledged = 0
        self.last_error = ""
        self._server = server
        tag = secrets.token_hex(6)
        self._account = ClientAccount(tag, tag)
        self._texts: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        self._connection: AsyncConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_busy = False

    @property
    def waiting(self) -> int:
        return self._texts.qsize() + self._is_busy

    async def start(self) -> None:
        connection = await connect(self._server, _CODEC, NullListener())
        await connection.request(_CODEC.register(self._account))
        await connection.close()
        self._task = asyncio.create_task(self._run())

    def write(self, account: int, text: str) -> None:
        self._texts.put_nowait((account, text))

    async def close(self) -> None:
        assert self._task is not None
        self._task.cancel()
        if self._connection is not None:
            self._connection.abort()

    async def _run(self) -> None:
        while True:
            account, text = await self._texts.get()
            self._is_busy = True
            while not await self._is_sent(account, text):
                await asyncio.sleep(1)
            self._is_busy = False
            self.acknowledged += 1

    async def _is_sent(self, account: int, text: str) -> bool:
        try:
            if self._connection is None or self._connection.has_ended:
                self._connection = await connect(self._server, _CODEC, NullListener())
                reply = await self._connection.request(_CODEC.login(self._account), _SECONDS)
                self._account.number = reply.number or self._account.number
                self._account.token = reply.token or self._account.token
            await self._connection.request(_CODEC.post(self._account, Destination(user=account), text), _SECONDS)
        except ClientError as error:
            self.last_error = str(error)
            if self._connection is not None:
                self._connection.abort()
            return False
        return True
