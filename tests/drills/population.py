"""The users of a drill.

They are registered over real connections, become members of chats, and have devices on all edges.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from dragoman_client.aio import NullListener, connect
from dragoman_client.codec.base import ClientAccount
from dragoman_client.codec.native import NativeCodec
from tests.drills.client_profiles import V2, PcClientProfile, PlainProfile, secret
from tests.drills.device import DrillClient, DrillUser, Edge
from tests.drills.follower import Follower
from tests.drills.irc_profile import IrcProfile
from tests.drills.recorded_connection import REPLY_SECONDS, Journal, RecordedConnection, dial
from tests.drills.sleeper import Sleeper

_NATIVE = NativeCodec(str)
_USERS = 8
_OUTSIDERS = (8, 9)
_SLEEPER, _FOLLOWER = 10, 11
_NAMED = 12
_ALL = (*range(_USERS), _FOLLOWER)
_GROUPS = (_ALL, (0, 1, 2), (0, 1), (2, 3), (4, 5), (6, 7, _SLEEPER), (1, 4, _FOLLOWER), _OUTSIDERS)
"""The members of each chat, as numbers of users.

There is a chat of all, a chat of three, and there are pairs on one edge and on two edges. The outsiders have only a
chat of their own.
"""
_PRIVATE = (6, 7)
"""The members of a private chat, one of whom has only an IRC client."""
_PC_CLIENTS = (2, 3)
"""Users with the PC client."""
_TWO_DEVICES = (0, 5)
_IRC_DEVICES = ((5, 1), (7, 0))
"""The devices with IRC clients, as numbers of the user and of the device: one is the only device of its user."""
STAYERS = (1, 4)
"""Users that reconnect to the same edge until it answers. All other users try the next edge."""


@dataclass
class Population:
    members: dict[int, frozenset[int]]
    """The OC numbers of the members of each chat."""
    devices: list[DrillClient]
    sleepers: list[Sleeper]
    followers: list[Follower] = field(default_factory=list)
    newcomers: list[DrillClient] = field(default_factory=list)
    """Devices of users that are members only of a private pair."""

    def join(self, other: "Population") -> None:
        self.members |= other.members
        self.devices += other.devices
        self.sleepers += other.sleepers
        self.followers += other.followers
        self.newcomers += other.newcomers


async def gather(edges: Sequence[Edge], journal: Journal, stayers: Sequence[int], newcomers: int = 0) -> Population:
    """Registers the users and creates their chats. Raises any error, because no error may happen before the first
    fault.

    All users except the stayers follow changes of `edges`. `newcomers` is the number of additional users, who get chats
    in pairs.
    """
    first = _NAMED
    groups = [*_GROUPS, *((number, number + 1) for number in range(first, first + newcomers, 2))]
    async with _connections(edges, first + newcomers) as connections:
        passwords = [secrets.token_hex(6) for _ in connections]
        users = [await _register(*one) for one in zip(connections, passwords, strict=True)]
        members = {}
        for numbers in groups:
            accounts = [users[number].account for number in numbers]
            chat = (await connections[numbers[0]].request(V2.create_group(accounts[0], "", accounts))).chat
            members[chat] = frozenset(account.number for account in accounts)
            for number in numbers:
                await _announced(connections[number], chat)
                users[number].chats.append(chat)
        pair = [users[number] for number in _PRIVATE]
        chat = await _open_private(edges, *pair)
        members[chat] = frozenset(user.account.number for user in pair)
        for user, other in (pair, pair[::-1]):
            user.chats.append(chat)
            user.partners[chat] = other.account.number
    sleeper = Sleeper(users[_SLEEPER].account.number, passwords[_SLEEPER], edges, journal)
    follower = Follower(users[_FOLLOWER], edges, journal)
    devices = _devices(users[:_SLEEPER], passwords, edges, journal, stayers)
    later = [
        DrillClient(f"{user.account.number}/a", user, edges, home, PlainProfile(), journal)
        for home, user in enumerate(users[first:])
    ]
    return Population(members, devices + later, [sleeper], [follower], later)


@asynccontextmanager
async def _connections(edges: Sequence[Edge], count: int) -> AsyncIterator[list[RecordedConnection]]:
    """Opens connections whose events are not recorded."""
    path = PlainProfile.path
    connections = [await dial(edges[number % len(edges)][1] + path, _ignore, "", "") for number in range(count)]
    yield connections
    for connection in connections:
        await connection.close()


async def _announced(connection: RecordedConnection, chat: int) -> None:
    """Waits until the chat was announced.

    A later announcement could be mistaken for the reply to a request of this connection. Raises TimeoutError.
    """
    async with asyncio.timeout(REPLY_SECONDS):
        while await connection.new_chats.get() != chat:
            pass


async def _register(connection: RecordedConnection, password: str) -> DrillUser:
    account = ClientAccount(f"名{password}", secret(password), email=f"u{password}@dragoman.test")
    account.number = (await connection.request(V2.register(account))).number
    return DrillUser(account)


async def _open_private(edges: Sequence[Edge], user: DrillUser, other: DrillUser) -> int:
    connection = await connect(edges[0][1] + _NATIVE.path, _NATIVE, NullListener())
    await connection.request(_NATIVE.login(user.account))
    reply = await connection.request(_NATIVE.open_private(user.account, other.account))
    await connection.close()
    return reply.chat


def _devices(
    users: list[DrillUser], passwords: list[str], edges: Sequence[Edge], journal: Journal, stayers: Sequence[int]
) -> list[DrillClient]:
    devices = []
    for number, user in enumerate(users):
        for which in range(2 if number in _TWO_DEVICES else 1):
            home = (number + which) % len(edges)
            places = [edges[home]] if number in stayers else edges
            profile = PcClientProfile() if number in _PC_CLIENTS else PlainProfile()
            if (number, which) in _IRC_DEVICES:
                profile = IrcProfile(passwords[number], user.chats, user.partners)
            name = f"{user.account.number}/{'ab'[which]}"
            devices.append(DrillClient(name, user, places, home, profile, journal))
    return devices


def _ignore(_record: object) -> None:
    pass
