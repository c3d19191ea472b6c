"""The people of a run and their chats: made on the server, each through a dialect, as any client would."""

import asyncio
import hashlib
import secrets
import uuid
from collections.abc import Callable, Coroutine, Sequence
from itertools import cycle
from typing import Any

from bench.load.connection import Deaf, Trouble, dial
from bench.load.gather import together
from bench.tongues import founding
from bench.tongues.base import Asked, Founding, Person, Reply

_AT_ONCE = 8
_TRIES = 4
_FIRST_PAUSE_SECONDS = 0.5

Step = Callable[[str, int, int], None]
"""What is being done, how many of it are done, of how many."""


class Maker:
    """`edges` take turns; `step` is told of each that is done."""

    def __init__(self, edges: Sequence[str], step: Step) -> None:
        self._edges = cycle(edges)
        self._step = step
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def people(self, dialects: Sequence[str]) -> list[Person]:
        """One new account for each, of that dialect. Raises Trouble."""
        tag = secrets.token_hex(4)
        return await self._all("accounts", [self._register(f"bench-{tag}-{n}", one) for n, one in enumerate(dialects)])

    async def chats(self, groups: Sequence[Sequence[tuple[Person, str]]]) -> list[int]:
        """A chat for each group of people and their dialects. Raises Trouble."""
        return await self._all("chats", [self._create(group) for group in groups])

    async def _register(self, name: str, dialect: str) -> Person:
        secret = hashlib.sha256(secrets.token_bytes(16)).hexdigest()
        person = Person(name, secret, uuid=str(uuid.uuid4()))
        tongue = founding(dialect)
        reply = await self._ask(tongue, tongue.registration(person), Asked.REGISTRATION)
        person.ocid, person.token = reply.ocid, reply.token
        return person

    async def _create(self, group: Sequence[tuple[Person, str]]) -> int:
        """By the first who has an account of v2, if there is one: it needs no more than the others' numbers."""
        founder, dialect = next((one for one in group if one[1] != "service"), group[0])
        tongue = founding(dialect)
        members = [person for person, _ in group if person is not founder]
        reply = await self._ask(tongue, tongue.creation(founder, members), Asked.CHAT, founder)
        return reply.chat

    async def _ask(self, tongue: Founding, frame: bytes, what: Asked, person: Person | None = None) -> Reply:
        """On a connection of its own, again after a while when it is refused: hashing has a queue, rates a limit."""
        pause = _FIRST_PAUSE_SECONDS
        async with self._slots:
            for _ in range(_TRIES - 1):
                try:
                    return await self._ask_once(tongue, frame, what, person)
                except Trouble:
                    await asyncio.sleep(pause)
                    pause *= 2
            return await self._ask_once(tongue, frame, what, person)

    async def _ask_once(self, tongue: Founding, frame: bytes, what: Asked, person: Person | None) -> Reply:
        line = await dial(next(self._edges), tongue, Deaf())
        try:
            if person is not None:
                await line.ask(tongue.login(person), Asked.LOGIN)
            return await line.ask(frame, what)
        finally:
            await line.close()

    async def _all(self, what: str, work: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
        done = 0

        async def one(each: Coroutine[Any, Any, Any]) -> Any:
            nonlocal done
            result = await each
            done += 1
            self._step(what, done, len(work))
            return result

        return await together(map(one, work))
