"""Registers the accounts of a run and creates their chats, as a client would."""

import asyncio
import hashlib
import secrets
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from itertools import cycle
from typing import Any, TypeVar

from bench.load.dialects import registering
from bench.load.gather import gather_all
from clients.aio import NullListener, connect
from clients.codec.base import ClientAccount, ClientRequest, Codec
from clients.codec.events import ServerReply
from clients.errors import ClientError

_AT_ONCE = 8
_TRIES = 4
_FIRST_PAUSE_SECONDS = 0.5

T = TypeVar("T")
Step = Callable[[str, int, int], None]
"""Called with the name of the work, the number of finished steps and their total."""


class Registrar:
    """Sends its requests to `edges` in turn; calls `step` after each."""

    def __init__(self, edges: Sequence[str], step: Step) -> None:
        self._edges = cycle(edges)
        self._step = step
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def users(self, dialects: Sequence[str]) -> list[ClientAccount]:
        """Register one account for each dialect. Raises ClientError."""
        tag = secrets.token_hex(4)
        return await self._all("accounts", [self._register(f"bench-{tag}-{n}", one) for n, one in enumerate(dialects)])

    async def chats(self, groups: Sequence[Sequence[tuple[ClientAccount, str]]]) -> list[int]:
        """Create a chat for each group of accounts with their dialects. Raises ClientError."""
        return await self._all("chats", [self._create(group) for group in groups])

    async def _register(self, name: str, dialect: str) -> ClientAccount:
        codec = registering(dialect)

        async def register() -> ClientAccount:
            """Under another name each time: a registration without a reply may have been carried out."""
            secret, own = hashlib.sha256(secrets.token_bytes(16)).hexdigest(), f"{name}-{secrets.token_hex(2)}"
            account = ClientAccount(own, secret, uuid=str(uuid.uuid4()), email=f"{own}@example.invalid")
            reply = await self._request(codec, codec.register(account))
            account.number, account.token = reply.number, reply.token
            return account

        return await self._until_done(register)

    async def _create(self, group: Sequence[tuple[ClientAccount, str]]) -> int:
        """The first account of v2 creates the chat if there is one: v2 needs only the members' numbers."""
        founder, dialect = next((one for one in group if one[1] != "service"), group[0])
        codec = registering(dialect)
        request = codec.create_group(founder, "bench", [account for account, _ in group if account is not founder])
        reply = await self._until_done(lambda: self._request(codec, request, founder))
        return reply.chat

    async def _until_done(self, work: Callable[[], Awaitable[T]]) -> T:
        """Retries after a pause: hashing has a queue, rates have limits."""
        pause = _FIRST_PAUSE_SECONDS
        async with self._slots:
            for _ in range(_TRIES - 1):
                try:
                    return await work()
                except ClientError:
                    await asyncio.sleep(pause)
                    pause *= 2
            return await work()

    async def _request(self, codec: Codec, request: ClientRequest, account: ClientAccount | None = None) -> ServerReply:
        """On its own connection."""
        connection = await connect(next(self._edges), codec, NullListener())
        try:
            if account is not None:
                await connection.request(codec.login(account))
            return await connection.request(request)
        finally:
            await connection.close()

    async def _all(self, what: str, work: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
        done = 0

        async def one(each: Coroutine[Any, Any, Any]) -> Any:
            nonlocal done
            result = await each
            done += 1
            self._step(what, done, len(work))
            return result

        return await gather_all(map(one, work))
