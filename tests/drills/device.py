"""A device that stays connected: it dials again whenever it is cut off, logs in by password and goes on talking."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.drills.client_profiles import Plain
from tests.drills.line import Journal, Line, Refusal, dial
from tests.drills.records import Tried

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 2.0
_MOST_UNANSWERED = 8
_FILLERS = ("", "", "", "…", "汉字 ", "🐉", 'quoted "\\\n" ', "long " * 400)


Edge = tuple[str, str]
"""Name and URL."""


@dataclass
class Person:
    """An account; `password` is what v2 sends."""

    ocid: int
    email: str
    password: str
    chats: list[int] = field(default_factory=list)


class Device:
    """It dials the edge at position `home`, and the next one after each failure; `edges` may change meanwhile."""

    def __init__(
        self, name: str, person: Person, edges: Sequence[Edge], home: int, habits: Plain, journal: Journal
    ) -> None:
        self.name = name
        self.person = person
        self.line: Line | None = None
        self.hushed = False
        """Ends `talk`, which is never cut off in the middle of a word."""
        self._edges = edges
        self._at = home
        self._habits = habits
        self._journal = journal
        self._speaks_at = 0.0
        self._said = 0
        self._away = asyncio.Event()
        self._away.set()

    async def live(self) -> None:
        """Until cancelled; `end` closes what is then left."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            await self._away.wait()
            if await self._connected():
                pause = _FIRST_PAUSE_SECONDS
            else:
                self._at += 1
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(random.uniform(0, pause))

    async def leave(self, seconds: float) -> None:
        """Close in order, and come back after a while, on the next edge."""
        self._away.clear()
        self._at += 1
        try:
            if self.line is not None:
                await self.line.close()
            await asyncio.sleep(seconds)
        finally:
            self._away.set()

    async def end(self) -> None:
        if self.line is not None:
            await self.line.close()

    async def talk(self, per_second: float) -> None:
        """Say something somewhere, again and again, while there is a line and not too much is unanswered."""
        while not self.hushed:
            await asyncio.sleep(random.expovariate(per_second))
            if self.may_speak:
                await self.say(random.choice(self.person.chats))

    @property
    def may_speak(self) -> bool:
        return self.line is not None and time.monotonic() >= self._speaks_at and self.line.unanswered < _MOST_UNANSWERED

    async def say(self, chat: int) -> None:
        assert self.line is not None
        self._said += 1
        text = f"{self.name} {self._said} {random.choice(_FILLERS)}"
        frame: dict[str, Any] = self._habits.message(self.person.ocid, chat, text)
        try:
            await self.line.say(frame, chat, text)
        except ConnectionClosed:
            self.line = None

    async def _connected(self) -> bool:
        """One connection from beginning to end; whether it came to a login."""
        edge, url = self._edges[self._at % len(self._edges)]
        self._journal(Tried(time.monotonic(), self.name))
        try:
            line = await dial(url + self._habits.path, self._journal, self.name, edge)
        except (OSError, TimeoutError, InvalidHandshake):
            return False
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(line.listen())
            arriving = group.create_task(self._arrive(line))
            await listening
            self.line = None
            arriving.cancel()
        return line.ocid > 0

    async def _arrive(self, line: Line) -> None:
        """Log in, ask what such a client asks, be ready to speak, then list what it is told of."""
        person = self.person
        try:
            await self._habits.greet(line)
            reply = await line.ask(self._habits.login(person.ocid, person.email, person.password))
            if reply["status"] == 1:
                raise RuntimeError(f"{self.name}: the right password was refused")
            if reply["status"] != 0:
                return await line.close()
            await self._habits.settle(line, person.ocid)
            self._speaks_at = time.monotonic() + self._habits.shy_seconds
            self.line = line
            while True:
                await self._habits.list_session(line, await line.told.get())
        except (Refusal, TimeoutError):
            await line.close()
        except ConnectionClosed:
            return
