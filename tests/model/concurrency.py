"""Many things at once in one chat. What order it becomes, a witness tells, who sees all of it; from then on it is the
order for everybody."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.clients.client import Client, Segment, Sight
from tests.clients.ourchat_v1 import V1
from tests.clients.pipe import Pipe
from tests.model.device import Device, Differs, same
from tests.model.expected_frames import WORDS
from tests.model.harness import Town
from tests.model.model import Chat, News, Said, Spoken

Words = tuple[Device, tuple[Segment, ...]]
"""Who says what."""


class Meanwhile(NamedTuple):
    """What happens beside. Those who leave, and who take what was unread, are told of messages by that client alone."""

    comes: Callable[[], Client] | None
    """Somebody who is told of messages by no client yet logs in."""
    leaves: Device | None
    takes: Device | None


class Rush:
    def __init__(self, town: Town, chat: Chat, witness: Device) -> None:
        self._town = town
        self._chat = chat
        self._witness = witness
        self._queues: dict[Device, deque[tuple[Segment, ...]]] = {}

    def run(self, words: Sequence[Words], meanwhile: Meanwhile) -> None:
        town, (comes, leaves, takes) = self._town, meanwhile
        town.note(f"in {self._chat.number} at once: {words}; {'one' if comes else 'none'} comes, {leaves} leaves,")
        town.note(f"{takes} takes what is unread")
        self._witness.await_its_turn()
        self._say(words)
        if takes is not None and isinstance(takes.client, Pipe):
            takes.client.take_unread(None)
        arrived = comes() if comes else None
        seen = self._gone(leaves) if leaves else []
        before = len(self._chat.said)
        self._resolve()
        if leaves is not None:
            self._read_before_it_left(leaves, self._chat.said[before:], seen)
        if takes is not None:
            self._taken(takes)
        if arrived is not None:
            town.enter(arrived, town.model.people[arrived.account.id])
        town.check()

    @classmethod
    def meet(cls, town: Town, one: Device, other: Device, words: tuple[str, str]) -> None:
        """Two who have never spoken to each other speak at the same moment, and have one chat; `one` sees all."""
        town.note(f"{one} and {other} say {words} to each other")
        one.client.send_message(0, words[:1], other.person.number)
        other.client.send_message(0, words[1:], one.person.number)
        rush = cls(town, town.private_chat(one.person, other.person), one)
        rush._queues = {one: deque([words[:1]]), other: deque([words[1:]])}
        rush._resolve()
        town.check()

    def join(self, words: Sequence[Words], newcomer: Device, last: str) -> None:
        """Somebody comes into an open group while others speak, and is told of all that is said from some moment on;
        it is over with the last word."""
        town, chat, number = self._town, self._chat, newcomer.person.number
        town.note(f"in {chat.number} at once: {words}; {newcomer} joins, {self._witness} says {last}")
        assert isinstance(newcomer.client, V1 | Pipe)
        self._witness.await_its_turn()
        self._say(words)
        newcomer.client.apply(chat.number, "")
        town.spread(town.model.apply(chat, number, ""))
        first, before = chat.first.pop(number), len(chat.said)
        self._resolve()
        chat.first[number] = first
        meanwhile = chat.said[before:]
        self._say([(self._witness, (last,))])
        self._resolve()
        seen = newcomer.early_sights()
        wanted = [sight for said in meanwhile for sight in WORDS[newcomer.client.dialect](Spoken(said), town.model)]
        same(newcomer, seen, wanted[len(wanted) - len(seen) :])
        town.check()

    def _say(self, words: Sequence[Words]) -> None:
        for device, segments in words:
            self._queues.setdefault(device, deque()).append(segments)
            device.client.send_message(self._chat.number, segments, self._town.address(device, self._chat))

    def _resolve(self) -> None:
        unanswered: list[tuple[Device, Said]] = []
        while self._queues:
            sight = self._witness.client.see()
            if not self._witness.awaits(sight):
                device, said, news = self._next(sight)
                self._town.spread(news, by=device)
                if not device.client.sees_own:
                    unanswered.append((device, said))
            self._witness.match(sight)
        for device, said in unanswered:
            self._town.acknowledge(device, said)

    def _next(self, sight: Sight) -> tuple[Device, Said, News]:
        """Each speaker's own order is kept."""
        chat, shown = self._chat, WORDS[self._witness.client.dialect]
        for device, queue in self._queues.items():
            said = Said(chat.number, chat.head + 1, device.person.number, device.client.dialect, queue[0])
            if shown(Spoken(said), self._town.model)[0] == sight:
                queue.popleft()
                if not queue:
                    del self._queues[device]
                return device, *self._town.said(chat, device, said.segments)
        raise Differs(f"{self._witness} sees {sight}, which nobody was to say next")

    # Those who go, and those who ask

    def _gone(self, device: Device) -> list[Sight]:
        self._town.devices.remove(device)
        return device.client.last_sights()

    def _read_before_it_left(self, device: Device, said: Sequence[Said], seen: list[Sight]) -> None:
        """From the first one on; the rest is unread."""
        for one in said:
            if not seen:
                return
            wanted = WORDS[device.client.dialect](Spoken(one), self._town.model)
            same(device, seen[: len(wanted)], wanted)
            del seen[: len(wanted)]
            device.person.unread.remove(one)
        same(device, seen, [])

    def _taken(self, device: Device) -> None:
        """All that had been unread, in between; what was said meanwhile is pushed."""
        assert isinstance(device.client, Pipe)
        device.client.friends()  # an answer that comes after all of it
        unread, device.person.unread = device.person.unread, []
        for said in unread:
            device.expect(Spoken(said), anywhere=True)
