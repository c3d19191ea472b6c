"""Who sits where and who speaks: pure, from a population to each process's job."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.load.protocol import Job, LoopPlan, Seat, SenderPlan, Talk

_TOGETHER = 2
"""Neighbours, who are on different edges, share a process: a pair hears both its sides there."""


class Load(NamedTuple):
    """`rate` in messages a second, altogether; where it is 0, `window` messages are under way, in each chat or, if
    `each`, of each speaker."""

    size: int
    warm_up: float
    seconds: float
    rate: float = 0.0
    window: int = 1
    each: bool = False


def deal(seats: Sequence[Seat], processes: int) -> list[list[int]]:
    """Which seats each process has, evenly; no process is without."""
    count = max(1, min(processes, len(seats) // _TOGETHER))
    hands: list[list[int]] = [[] for _ in range(count)]
    for number in range(len(seats)):
        hands[number // _TOGETHER % count].append(number)
    return hands


def conversations(run: int, seats: Sequence[Seat], speakers: Sequence[int], processes: int, load: Load) -> list[Job]:
    """Jobs in which these seats speak in all their chats. A voice's number is unique over all jobs."""
    sizes = Counter(chat for seat in seats for chat in seat.chats)
    order = [(number, chat) for number in speakers for chat in seats[number].chats]
    numbers = {place: number for number, place in enumerate(order, 1)}
    chat_of = {number: chat for (_, chat), number in numbers.items()}
    hands = deal(seats, processes)
    places = {place: process for process, hand in enumerate(hands) for place in order if place[0] in hand}
    jobs = []
    for process, hand in enumerate(hands):
        voices = [
            SenderPlan(numbers[place], local, place[1], sizes[place[1]] - 1)
            for local, number in enumerate(hand)
            for place in ((number, chat) for chat in seats[number].chats)
            if place in numbers
        ]
        here = [seats[number] for number in hand]
        task = Talk(load.size, load.warm_up, load.seconds)
        if load.rate:
            task.rate = load.rate * len(voices) / len(order)
        else:
            task.loops = _loops(here, voices, load, places, process)
        jobs.append(Job(run, here, task, voices, chat_of))
    return jobs


def _loops(
    here: Sequence[Seat], voices: Sequence[SenderPlan], load: Load, places: Mapping[tuple[int, int], int], process: int
) -> list[LoopPlan]:
    """A chat that has speakers in several processes has its window shared out among them. `places` maps all speakers
    (seat, chat) to their processes."""
    listeners = Counter(chat for seat in here for chat in seat.chats)
    if load.each:
        return [LoopPlan([index], load.window, listeners[voice.chat] - 1) for index, voice in enumerate(voices)]
    by_chat: dict[int, list[int]] = {}
    for index, voice in enumerate(voices):
        by_chat.setdefault(voice.chat, []).append(index)
    loops = []
    for chat, indices in by_chat.items():
        sharers = sorted({place for (_, at), place in places.items() if at == chat})
        share = load.window // len(sharers) + (sharers.index(process) < load.window % len(sharers))
        if share:
            loops.append(LoopPlan(indices, share, listeners[chat] - 1))
    return loops
