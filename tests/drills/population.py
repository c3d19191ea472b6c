"""The people of a drill: registered through real sockets, put into chats, with their devices on all edges."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.drills.client_profiles import Family, Plain, secret
from tests.drills.device import Device, Edge, Person
from tests.drills.line import Journal, Line, dial

_PEOPLE = 8
_OUTSIDERS = (8, 9)
_GROUPS = (tuple(range(_PEOPLE)), (0, 1, 2), (0, 1), (2, 3), (4, 5), (6, 7), (1, 4), _OUTSIDERS)
"""Everybody, three, pairs on one edge and across; the outsiders have a chat of their own and are in no other."""
_FAMILY = (2, 3)
"""Whose client is the PC client's."""
_TWO_DEVICES = (0, 5)
STAYERS = (1, 4)
"""Who dials the same edge until it answers; the others try the next."""


@dataclass
class Crowd:
    members: dict[int, frozenset[int]]
    """OC numbers by chat."""
    devices: list[Device]

    def join(self, other: "Crowd") -> None:
        self.members |= other.members
        self.devices += other.devices


async def gather(edges: Sequence[Edge], journal: Journal, stayers: Sequence[int]) -> Crowd:
    """Everybody but the stayers follows changes of the edges. Raises whatever goes wrong: nothing may, before the
    first fault."""
    async with _lines(edges, _PEOPLE + len(_OUTSIDERS)) as lines:
        people = [await _register(line) for line in lines]
        members = {}
        for numbers in _GROUPS:
            ocids = [people[number].ocid for number in numbers]
            made = await lines[numbers[0]].ask({"code": 8, "members": [f"{ocid:010d}" for ocid in ocids]})
            chat = int(made["session_id"])
            members[chat] = frozenset(ocids)
            for number in numbers:
                people[number].chats.append(chat)
    return Crowd(members, _devices(people, edges, journal, stayers))


@asynccontextmanager
async def _lines(edges: Sequence[Edge], count: int) -> AsyncIterator[list[Line]]:
    """Connections of which nothing is written down."""
    lines = [await dial(edges[number % len(edges)][1] + Plain.path, _ignore, "", "") for number in range(count)]
    async with asyncio.TaskGroup() as group:
        for line in lines:
            group.create_task(line.listen())
        yield lines
        for line in lines:
            await line.close()


async def _register(line: Line) -> Person:
    tag = secrets.token_hex(6)
    email, password = f"u{tag}@dragoman.test", secret(tag)
    reply = await line.ask({"code": 4, "email": email, "password": password, "name": f"名{tag}"})
    return Person(int(reply["ocid"]), email, password)


def _devices(people: list[Person], edges: Sequence[Edge], journal: Journal, stayers: Sequence[int]) -> list[Device]:
    devices = []
    for number, person in enumerate(people):
        for which in range(2 if number in _TWO_DEVICES else 1):
            home = (number + which) % len(edges)
            places = [edges[home]] if number in stayers else edges
            habits = Family() if number in _FAMILY else Plain()
            devices.append(Device(f"{person.ocid}/{'ab'[which]}", person, places, home, habits, journal))
    return devices


def _ignore(_record: object) -> None:
    pass
