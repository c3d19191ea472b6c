"""Distributes seats (client connections) and senders over worker processes. This module is pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.load.protocol import Job, LoopPlan, RateStep, Seat, SenderPlan, Talk

_TOGETHER = 2
"""This number of adjacent seats, which are on different edges, are in the same process. So both sides of a pair are in
one process."""


class Load(NamedTuple):
    """`rate`: messages a second in total. If it is 0, `window` messages are in flight in each chat or, with `each`, for
    each sender."""

    size: int
    warm_up: float
    seconds: float
    rate: float = 0.0
    window: int = 1
    each: bool = False


def distribute(seats: Sequence[Seat], processes: int) -> list[list[int]]:
    """Return the indexes of the seats of each process. The seats are evenly distributed, and no process is empty."""
    count = max(1, min(processes, len(seats) // _TOGETHER))
    seats_by_process: list[list[int]] = [[] for _ in range(count)]
    for number in range(len(seats)):
        seats_by_process[number // _TOGETHER % count].append(number)
    return seats_by_process


def conversations(
    run: int, seats: Sequence[Seat], speakers: Sequence[int], processes: int, load: Load, steps: Sequence[RateStep] = ()
) -> list[Job]:
    """Make jobs in which the seats `speakers` send to all their chats. The numbers of senders are unique over all jobs.
    `steps`: the rates in total, in place of the load's rate."""
    if load.rate:
        steps = [RateStep(load.warm_up + load.seconds, load.rate)]
    sizes = Counter(chat for seat in seats for chat in seat.chats)
    order = [(number, chat) for number in speakers for chat in seats[number].chats]
    numbers = {place: number for number, place in enumerate(order, 1)}
    chat_of = {number: chat for (_, chat), number in numbers.items()}
    seats_by_process = distribute(seats, processes)
    places = {
        place: process for process, indices in enumerate(seats_by_process) for place in order if place[0] in indices
    }
    jobs = []
    for process, indices in enumerate(seats_by_process):
        senders = [
            SenderPlan(numbers[place], local, place[1], sizes[place[1]] - 1)
            for local, number in enumerate(indices)
            for place in ((number, chat) for chat in seats[number].chats)
            if place in numbers
        ]
        here = [seats[number] for number in indices]
        own = [RateStep(step.seconds, step.rate * len(senders) / len(order)) for step in steps if senders]
        loops = [] if steps else _loops(here, senders, load, places, process)
        jobs.append(Job(run, here, Talk(load.size, load.warm_up, load.seconds, own, loops), senders, chat_of))
    return jobs


def _loops(
    here: Sequence[Seat], senders: Sequence[SenderPlan], load: Load, places: Mapping[tuple[int, int], int], process: int
) -> list[LoopPlan]:
    """The closed loops of one process. The window of a chat is divided among all processes that have senders in this
    chat. `places` maps all senders (seat, chat) to their processes."""
    listeners = Counter(chat for seat in here for chat in seat.chats)
    if load.each:
        return [LoopPlan([index], load.window, listeners[sender.chat] - 1) for index, sender in enumerate(senders)]
    by_chat: dict[int, list[int]] = {}
    for index, sender in enumerate(senders):
        by_chat.setdefault(sender.chat, []).append(index)
    loops = []
    for chat, indices in by_chat.items():
        sharers = sorted({place for (_, at), place in places.items() if at == chat})
        share = load.window // len(sharers) + (sharers.index(process) < load.window % len(sharers))
        if share:
            loops.append(LoopPlan(indices, share, listeners[chat] - 1))
    return loops
