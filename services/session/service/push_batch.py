"""Reads what a batch of devices needs for its notifications, and writes what has happened in its turns. A few requests
and transactions serve all devices."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, NamedTuple

from services.session.push_rules import ChatNature, PushRecipient, read_meanwhile
from services.session.service.message_reader import MessageReader
from services.session.store import push_turns
from services.session.store.push_queue import NotifyingMember
from services.session.store.push_turns import DeviceChat, DeviceView, Names, TurnNote
from services.session.store.subscriptions import PushDevice
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Message
from shared.contract.receipts import ReadIndex
from shared.tasks import Tasks, growing_pauses, is_set_within
from shared.transactions import Transactions

TURN_SENDS = 20
"""The most notifications of a device in one turn."""
FRESH_MS = 1_000
"""How long a message and the right to send it are known. Later, both are read again."""
_READS = 16
"""The most messages that are requested at once."""

States = Mapping[tuple[AccountId, ChatId], ReadIndex]


def recipient(member: NotifyingMember, state: ReadIndex, blocked: frozenset[AccountId]) -> PushRecipient:
    first = max(state.index + 1, member.unread_from)
    return PushRecipient(member.account, first, member.since, member.own, member.settings, blocked)


class WaitingPush(NamedTuple):
    """A notification that waits to be sent. `message`: None if it was not read yet."""

    row: DeviceChat
    nature: ChatNature
    to: PushRecipient
    state: ReadIndex
    message: Message | None = None


class ReadyDevice(NamedTuple):
    """A device, and what its turn needs. `waiting`: the first notifications to send. `over`: notifications that are not
    to be sent any more. `closed`: chats whose notifications the device still shows, although they are read. `badge`:
    the number of unread messages. `is_lacking`: the message service does not know the member list of a chat now.
    `held`: see `push_turns.held`. `checked`: the time after which `held` and the messages were read."""

    device: PushDevice
    waiting: Sequence[WaitingPush]
    over: Sequence[DeviceChat]
    closed: Sequence[ChatId]
    badge: int
    is_lacking: bool
    names: Names = Names({}, {})
    held: Mapping[tuple[int, ChatId], int] = {}
    checked: int = 0

    def is_fresh(self, now: int) -> bool:
        return self.checked <= now < self.checked + FRESH_MS


def planned(device: PushDevice, view: DeviceView, states: States) -> ReadyDevice:
    own = {chat: state for chat in view.chats if (state := states.get((device.account, chat))) is not None}
    read = {int(chat): one.index for chat, one in own.items()}
    over = {*read_meanwhile({int(row.chat): row.waiting or row.shown for row in view.rows}, read)}
    waiting = [
        WaitingPush(row, nature, recipient(member, own[row.chat], view.blocked), own[row.chat])
        for row in view.rows
        if row.waiting and row.chat not in over
        for nature, member in [view.chats[row.chat]]
    ]
    return ReadyDevice(
        device,
        waiting[:TURN_SENDS],
        [row for row in view.rows if row.chat in over and row.waiting],
        [row.chat for row in view.rows if row.chat in over and row.shown],
        sum(one.unread for one in own.values()),
        is_lacking=view.chats.keys() != own.keys(),
    )


class PushBatches:
    """`now`: the time of the queue in Unix milliseconds."""

    def __init__(self, database: Transactions, messages: MessageReader, now: Callable[[], int]) -> None:
        self._database = database
        self._messages = messages
        self._now = now

    async def prepare(self, devices: Sequence[PushDevice], lease: str, lasting_ms: int) -> list[ReadyDevice]:
        """Reads what the turns of these devices need. The lease must last for `lasting_ms`. Raises RequestError."""
        if not devices:
            return []
        views = await self._database.read(push_turns.view_devices, devices)
        pairs = dict.fromkeys((one.account, chat) for one in devices for chat in views[one.id].chats)
        found, _ = await self._messages.read_indexes([*pairs], counts=True)
        states = {(one.account, one.chat): one for one in found}
        ready = [planned(one, views[one.id], states) for one in devices]
        checked, waiting = self._now(), [each for one in ready for each in one.waiting]
        until, numbers = checked + lasting_ms + FRESH_MS, [one.id for one in devices]
        messages = await self._read_messages(waiting, checked + FRESH_MS)
        chats, senders = {one.row.chat for one in waiting}, {one.sender for one in messages.values()}
        held, names = await self._database.read(
            lambda connection: (
                push_turns.held(connection, numbers, lease, until),
                push_turns.names(connection, chats, senders),
            )
        )
        return [
            one._replace(
                waiting=[
                    each._replace(message=messages.get((each.row.chat, each.row.waiting))) for each in one.waiting
                ],
                names=names,
                held=held,
                checked=checked,
            )
            for one in ready
        ]

    async def _read_messages(self, waiting: Sequence[WaitingPush], until: int) -> dict[tuple[ChatId, int], Message]:
        """Messages of these notifications. Each is requested once, for the recipient that may see the most messages,
        and none after `until`. A message that is not found is read again in the turn of each device."""
        readers = {(one.row.chat, one.row.waiting): one.to for one in sorted(waiting, key=_first, reverse=True)}
        wanted, found = [*readers], dict[tuple[ChatId, int], Message]()
        for start in range(0, len(wanted), _READS):
            some = wanted[start : start + _READS]
            reads = (self._messages.read(chat, index, 1, readers[chat, index].account) for chat, index in some)
            for messages in await asyncio.gather(*reads, return_exceptions=True):
                if isinstance(messages, list):
                    found |= {(one.chat, one.index): one for one in messages}
                elif not isinstance(messages, Exception):
                    raise messages
            if self._now() >= until:
                break
        return {key: found[key] for key in wanted if key in found}


def _first(one: WaitingPush) -> int:
    return one.to.first


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
