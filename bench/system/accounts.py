"""Makes the accounts and chats of a measurement. If the bench has started the system, they are written into its
databases. Otherwise they are made by requests, as clients make them."""

import asyncio
import hashlib
import secrets
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from itertools import cycle
from typing import Any, NamedTuple, TypeVar

from bench.load.dialects import registering
from bench.load.protocol import Seat
from bench.load.run import gather_all
from bench.report.progress import ProgressLine
from bench.system.seeding import Seeder
from bench.system.system import MeasuredSystem
from dragoman_client.aio import NullListener, connect
from dragoman_client.codec.base import ClientAccount, ClientRequest, Codec
from dragoman_client.codec.events import ServerReply
from dragoman_client.errors import ClientError

_AT_ONCE = 8
_TRIES = 4
_FIRST_PAUSE_SECONDS = 0.5

T = TypeVar("T")
Step = Callable[[str, int, int], None]
"""A function that gets the name of the work, the number of finished steps, and the number of all steps."""


class Registrar:
    """Registers accounts and creates chats by requests to `edges` in turn. `step` is called after each request."""

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
            """Register an account. Each attempt has a new name, because a registration without a reply may have
            succeeded."""
            secret, own = hashlib.sha256(secrets.token_bytes(16)).hexdigest(), f"{name}-{secrets.token_hex(2)}"
            account = ClientAccount(own, secret, uuid=str(uuid.uuid4()), email=f"{own}@example.invalid")
            reply = await self._request(codec, codec.register(account))
            account.number, account.token = reply.number, reply.token
            return account

        return await self._until_done(register)

    async def _create(self, group: Sequence[tuple[ClientAccount, str]]) -> int:
        """Create a chat. If possible, its first account of ourchat-v2 creates it, because ourchat-v2 needs only the
        numbers of the members."""
        founder, dialect = next((one for one in group if one[1] != "service"), group[0])
        codec = registering(dialect)
        request = codec.create_group(founder, "bench", [account for account, _ in group if account is not founder])
        reply = await self._until_done(lambda: self._request(codec, request, founder))
        return reply.chat

    async def _until_done(self, work: Callable[[], Awaitable[T]]) -> T:
        """Repeat the work after pauses, because logins wait for hashes, and rates are limited."""
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
        """Send a request on a connection that is opened for it."""
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


async def seated(
    target: MeasuredSystem, show: ProgressLine, dialects: Sequence[str], groups: Iterable[Sequence[int]]
) -> list[Seat]:
    """Register an account for each dialect, and create a chat for each group. The members of a group are positions in
    `dialects`. Returns a seat for each account, on the edges in turn. Raises ClientError."""
    registrar, members = Registrar(target.edges, show.step), list(groups)
    users = list(zip(await registrar.users(dialects), dialects, strict=True))
    chats = await registrar.chats([[users[place] for place in group] for group in members])
    seats = [Seat(*user, edge) for user, edge in zip(users, cycle(target.edges), strict=False)]
    for chat, group in zip(chats, members, strict=True):
        for place in group:
            seats[place].chats.append(chat)
    return seats


def in_pairs(people: int) -> list[range]:
    """Groups of two adjacent users. These users are on different edges."""
    return [range(first, first + 2) for first in range(0, people, 2)]


class ChatGroup(NamedTuple):
    """A chat of `members`, whose dialects the run has chosen, and of a `sender` with ourchat-v2."""

    chat: int
    sender: ClientAccount
    members: list[ClientAccount]


async def participants(target: MeasuredSystem, show: ProgressLine, dialects: Sequence[str]) -> list[ClientAccount]:
    """Make one account for each dialect. Raises ClientError."""
    if (seeder := await _seeder(target)) is None:
        return await Registrar(target.edges, show.step).users(dialects)
    return await asyncio.to_thread(lambda: seeder.users(seeder.accounts(len(dialects))))


async def chat_groups(
    target: MeasuredSystem, show: ProgressLine, dialects: Sequence[str], most: int
) -> list[ChatGroup]:
    """Make an account for each dialect, and put all accounts into as few chats of at most `most` members as possible.
    Raises ClientError."""
    count = -(-len(dialects) // most)
    groups = [dialects[number::count] for number in range(count)]
    if (seeder := await _seeder(target)) is None:
        return await _made(Registrar(target.edges, show.step), groups)
    return [await _written(seeder, len(group)) for group in groups]


async def _made(registrar: Registrar, groups: Sequence[Sequence[str]]) -> list[ChatGroup]:
    """Register the members of each group, and create its chat."""
    found = []
    for dialects in groups:
        sender, *others = await registrar.users(["ourchat-v2", *dialects])
        [chat] = await registrar.chats([[(sender, "ourchat-v2"), *zip(others, dialects, strict=True)]])
        found.append(ChatGroup(chat, sender, others))
    return found


async def _written(seeder: Seeder, size: int) -> ChatGroup:
    accounts = await asyncio.to_thread(seeder.accounts, size + 1)
    chats = await asyncio.to_thread(seeder.chats, accounts, size + 1)
    await seeder.publish(chats)
    sender, *others = await asyncio.to_thread(seeder.users, accounts)
    return ChatGroup(chats[0], sender, others)


async def _seeder(target: MeasuredSystem) -> Seeder | None:
    if target.own and target.installation is not None:
        return await asyncio.to_thread(Seeder, target.installation)
    return None
