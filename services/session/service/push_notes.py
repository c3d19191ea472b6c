"""Writes what has happened in the turns of devices, for many turns in one transaction."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

from services.session.store import push_turns
from services.session.store.push_turns import TurnNote
from shared.contract.errors import RequestError
from shared.tasks import Tasks, growing_pauses, is_set_within
from shared.transactions import Transactions

_GATHER_SECONDS = 0.1
"""How long notes are gathered, because each commit costs as much as a notification. If the process is killed in this
time, notifications that push services have accepted are sent again."""
_NOTE_SECONDS, _NOTE_PAUSES = 20.0, (0.1, 2.0)


class PushNotes:
    """`now`: the time of the queue in Unix milliseconds."""

    def __init__(self, database: Transactions, now: Callable[[], int], stopping: asyncio.Event) -> None:
        self._database = database
        self._now = now
        self._stopping = stopping
        self._gathered: list[TurnNote] = []
        self._writing: asyncio.Task[Any]
        self._tasks = Tasks()

    async def write(self, note: TurnNote) -> None:
        """Returns when the note is written. While the database does not answer, the attempt is repeated for a part of
        the lease. Raises RequestError."""
        if not self._gathered:
            self._writing = self._tasks.start(self._write_gathered(), "note the turns of devices")
        self._gathered.append(note)
        await asyncio.shield(self._writing)

    async def close(self) -> None:
        await self._tasks.close()

    async def _write_gathered(self) -> None:
        await is_set_within(self._stopping, _GATHER_SECONDS)
        notes, self._gathered = self._gathered, []
        end = monotonic() + _NOTE_SECONDS
        for pause in growing_pauses(*_NOTE_PAUSES):
            try:
                return await self._database.write(push_turns.note_turns, notes, self._now())
            except RequestError:
                if monotonic() + pause >= end or await is_set_within(self._stopping, pause):
                    raise
