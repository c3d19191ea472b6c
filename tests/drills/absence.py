"""The absence drill: one native user (the absentee) is offline while others write, edit and recall messages in hundreds
of chats.

Meanwhile processes are killed. Three days later, by the servers' clocks, the absentee comes back. A `sync`, together
with the gaps that its replies name, must give everything that was missed, once and in order.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import Any

from dragoman_client.aio import AsyncConnection, NullListener, connect
from dragoman_client.codec.base import ClientAccount
from dragoman_client.codec.native import NativeCodec
from dragoman_client.errors import ClientError
from services.edge.canonical.positions import Place as PlaceInChat
from services.edge.canonical.positions import pack
from shared.contract.ids import ChatId
from tests.drills.native_messages import NativeMessages, Place
from tests.drills.requested_changes import LastStates, RequestedChange
from tests.support.cluster import Cluster

SECONDS = 3 * 86_400.0
"""The duration of the absence."""
SERVICES = "auth,session,message,edge"
TARGETS = ("edge-1", "message", "edge-2", "message")
_WRITERS = 10
_KILL_SECONDS = 3.0
_REPLY_SECONDS = 5.0
_PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.2
_PAGE, _WINDOW = 200, 100
_BEFORE, _EDITED, _RECALLED = 0.1, 0.1, 0.05
"""Shares of the messages: those that are written before the absence, those that are edited, and those that are
recalled.
"""


class NotAnswered(Exception):
    """A command was not acknowledged in time."""


class Writer:
    """A native user who repeats each command with the same nonce, on any edge, until it is acknowledged."""

    def __init__(self, edges: list[str], name: str) -> None:
        nonces = count(1)
        self._new_nonce: Callable[[], str] = lambda: f"{name}-{next(nonces)}"
        self._codec = NativeCodec(self._new_nonce)
        self._edges = cycle(edges)
        self._connection: AsyncConnection | None = None
        self.account = ClientAccount(name, f"secret of {name}")
        self.chats: list[int] = []
        self._written: list[Place] = []

    async def register(self) -> None:
        """Raises ClientError."""
        connection = await connect(next(self._edges), self._codec, NullListener())
        reply = await connection.request(self._codec.register(self.account))
        self.account.number, self.account.token = reply.number, reply.token
        self._connection = connection

    async def perform(self, operation: str, **members: Any) -> Mapping[str, Any]:
        """Sends a command and returns its reply. Raises NotAnswered."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                connection = await self._logged_in()
                return (await connection.request(self._codec.call(operation, members), _REPLY_SECONDS)).values
            except ClientError as error:
                if time.monotonic() > deadline:
                    raise NotAnswered(f"{operation}: {error}") from error
                await self.leave()
                await asyncio.sleep(_PAUSE_SECONDS)

    async def write(self, messages: int, chance: random.Random, written: LastStates) -> None:
        """Writes messages. Between them, edits and recalls earlier messages. Raises NotAnswered."""
        name = self.account.name
        for _ in range(messages):
            text = f"{name}: {len(written.acknowledged)}"
            chat = chance.choice(self.chats)
            place = chat, (await self.perform("send", chat=chat, text=text, nonce=self._new_nonce()))["index"]
            written.written(place, text)
            self._written.append(place)
            if chance.random() < _EDITED:
                edit = RequestedChange("edit", f"{text}, in place of another")
                members = {"text": edit.value, "nonce": self._new_nonce()}
                await self._change(chance.choice(self._written), edit, written, **members)
            if chance.random() < _RECALLED:
                place = self._written.pop(chance.randrange(len(self._written)))
                await self._change(place, RequestedChange("recall"), written)

    async def _change(self, place: Place, change: RequestedChange, written: LastStates, **members: str) -> None:
        """Raises NotAnswered."""
        chat, index = place
        written.requested(place, change)
        await self.perform(change.kind, chat=chat, index=index, **members)
        written.made(place, change)

    async def leave(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    async def _logged_in(self) -> AsyncConnection:
        if self._connection is None or self._connection.has_ended:
            self._connection = await connect(next(self._edges), self._codec, NullListener())
            await self._connection.request(self._codec.login(self.account), _REPLY_SECONDS)
        return self._connection


class Absentee:
    """The user who is offline.

    It is the listener of its own connection. `received_times` counts how often each message came.
    """

    def __init__(self, account: ClientAccount) -> None:
        self._account = account
        self._codec = NativeCodec(str)
        self._synced: asyncio.Event
        self.messages = NativeMessages(account.number)
        self.received_times = Counter[Place]()
        self.pushed: list[Place] = []
        self.changed = 0
        """The number of changes of messages that the absentee had before."""
        self.seconds = 0.0
        """The seconds from the login until the absentee had all messages and changes."""

    async def come_back(self, edge: str) -> None:
        """Raises ClientError, TimeoutError."""
        self.pushed.clear()
        self._synced = asyncio.Event()  # an event belongs to one event loop, and each call has its own
        connection = await connect(edge, self._codec, self, self._read)
        began = time.monotonic()
        try:
            await connection.request(self._codec.login(self._account))
            for head in await self._sync(connection):
                await self._fill_gap(connection, head)
                await self._follow_changes(connection, head)
                self.messages.has_changes_up_to(head["chat"], head["rev"])
        finally:
            await connection.close()
        self.seconds = time.monotonic() - began

    async def _sync(self, connection: AsyncConnection) -> list[dict[str, Any]]:
        """Reads all pages of a sync. Returns the summaries of the chats that have something new."""
        places = {ChatId(int(chat)): PlaceInChat(*place) for chat, place in self.messages.positions.items()}
        have = pack("", places)
        heads: list[dict[str, Any]] = []
        page: dict[str, Any] = {}
        while True:
            self._synced.clear()
            reply = await self._call(connection, "sync", have=have, window=_WINDOW, **page)
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._synced.wait()
            heads += reply["chats"]
            if "before" not in reply:
                return heads
            page = {"before": reply["before"]}

    async def _fill_gap(self, connection: AsyncConnection, head: dict[str, Any]) -> None:
        if "gap" not in head:
            return
        for index in range(head["gap"]["from"], head["gap"]["to"] + 1, _PAGE):
            number = min(_PAGE, head["gap"]["to"] - index + 1)
            place = {"chat": head["chat"], "from": index, "count": number, "dir": "newer"}
            for message in (await self._call(connection, "history", **place))["messages"]:
                self._store(message)

    async def _follow_changes(self, connection: AsyncConnection, head: dict[str, Any]) -> None:
        after, more = head.get("changes_after"), "changes_after" in head
        while more:
            page = await self._call(connection, "changes", chat=head["chat"], after=after)
            for change in page["changes"]:
                self.messages.change(change)
                after = change["rev"]
            more = page["more"]

    async def _call(self, connection: AsyncConnection, operation: str, **members: Any) -> Mapping[str, Any]:
        return (await connection.request(self._codec.call(operation, members))).values

    def _read(self, frame: bytes) -> Any:
        values = json.loads(frame)
        return values if "ev" in values else self._codec.decode(frame)

    def _store(self, message: Mapping[str, Any]) -> Place:
        place = message["chat"], message["index"]
        self.messages.add(message)
        self.received_times[place] += 1
        return place

    # The methods below implement dragoman_client.aio.Listener.

    def received(self, event: Mapping[str, Any], now: int) -> None:
        if event["ev"] == "message":
            self.pushed.append(self._store(event))
        elif event["ev"] == "changed":
            self.changed += 1
            self.messages.change(event)
        elif event["ev"] == "synced":
            self._synced.set()

    def replied(self, reply: object, now: int) -> None:
        return

    def ended(self) -> None:
        return


@dataclass
class Absence:
    """The result of the absence. `kills` counts how often each process was killed."""

    absentee: Absentee
    written: LastStates = field(default_factory=LastStates)
    kills: Counter[str] = field(default_factory=Counter)


async def leave_and_write(cluster: Cluster, chats: int, messages: int, seed: int) -> Absence:
    """Lets the absentee receive the first messages and leave. Then the others write on while processes are killed.

    Raises ClientError, TimeoutError, or an ExceptionGroup of NotAnswered.
    """
    writers = [Writer(cluster.edges, f"writer{number}of{seed}") for number in range(_WRITERS)]
    away = Writer(cluster.edges, f"absentee{seed}")
    for writer in (*writers, away):
        await writer.register()
    await _create_chats(writers, away.account.number, chats)
    absence, chance = Absence(Absentee(away.account)), random.Random(seed)
    before = int(messages * _BEFORE) // _WRITERS
    await _write_at_once(writers, before, chance, absence.written)
    await absence.absentee.come_back(cluster.edges[0])
    await away.leave()
    killing = asyncio.create_task(_kill_in_turn(cluster, absence.kills))
    await _write_at_once(writers, messages // _WRITERS - before, chance, absence.written)
    killing.cancel()
    await asyncio.wait({killing})
    for writer in writers:
        await writer.leave()
    return absence


async def _create_chats(writers: Sequence[Writer], absentee: int, chats: int) -> None:
    """Creates chats. The members of each chat are two writers and the absentee."""
    for number in range(chats):
        first, second = writers[number % len(writers)], writers[(number + 1) % len(writers)]
        members = [second.account.number, absentee]
        chat = (await first.perform("create", name=f"chat {number}", members=members))["chat"]
        first.chats.append(chat)
        second.chats.append(chat)


async def _write_at_once(writers: Sequence[Writer], each: int, chance: random.Random, written: LastStates) -> None:
    async with asyncio.TaskGroup() as group:
        for writer in writers:
            group.create_task(writer.write(each, random.Random(chance.random()), written))


async def _kill_in_turn(cluster: Cluster, kills: Counter[str]) -> None:
    for name in cycle(TARGETS):
        await asyncio.to_thread(cluster.kill, name)
        kills[name] += 1
        await asyncio.sleep(_KILL_SECONDS)


def violations(absence: Absence) -> Iterator[str]:
    """Compares what the absentee has with what was written. This function does no I/O."""
    absentee = absence.absentee
    yield from absence.written.differences(absentee.messages.states)
    for place, times in absentee.received_times.items():
        if times != 1:
            yield f"{place} came {times} times"
    last: dict[int, int] = {}
    for chat, index in absentee.pushed:
        if index <= last.get(chat, 0):
            yield f"{(chat, index)} came after {last[chat]}"
        last[chat] = index


def figures(absence: Absence, found: Sequence[str], messages: int) -> dict[str, Any]:
    """Returns the figures in the form of the other drills."""
    least = messages // _WRITERS * _WRITERS
    written = absence.written.acknowledged
    doubts = [f"only {len(written)} messages"] if len(written) < least else []
    doubts += [] if absence.kills else ["nothing was killed"]
    return {
        "result": "failed" if found else "inconclusive" if doubts else "passed",
        "acknowledged": len(written),
        "recalled": sum(state.text is None for state in written.values()),
        "chats": len(absence.absentee.messages.last),
        "pushed": len(absence.absentee.pushed),
        "changed": absence.absentee.changed,
        "seconds_to_return": round(absence.absentee.seconds, 2),
        "faults": {f"kill {name}": times for name, times in absence.kills.items()},
        "worst_outage_seconds": {},
        "invariants": {"R1 absence": len(found)},
        "violations": list(found[:5]),
        "doubts": doubts,
    }
