"""Histories: whether a page costs the same from a short chat, from a long one, and from one of many."""

import secrets
from typing import NamedTuple

from services.cli.bench.filling import fill
from services.cli.bench.job import Job, Leaf, Seat, Walk
from services.cli.bench.measuring import measured
from services.cli.bench.people import Maker
from services.cli.bench.result import Result
from services.cli.bench.show import Show
from services.cli.bench.target import Target

_READERS = 4


class Library(NamedTuple):
    """Pages of `size` messages: of the only chat there is, then of a chat of `messages`, and of the last of `chats`
    (both at random places). Measured for `seconds` each time."""

    messages: int
    chats: int
    size: int
    warm_up: float
    seconds: float


async def history(target: Target, show: Show, library: Library) -> Result:
    """Raises Trouble."""
    maker = Maker(target.edges, show.step)
    people = await maker.people(["service"] * _READERS)
    group = [(person, "service") for person in people]
    seats = [Seat(person, "service", target.edges[n % len(target.edges)]) for n, person in enumerate(people)]
    short = 2 * library.size

    async def chat(length: int) -> Walk:
        (made,) = await maker.chats([group])
        await fill(target.edges[0], people[0], made, length, show.step)
        return Walk("", made, length)

    async def leaf(*walks: Walk) -> Result:
        job = Job(secrets.randbits(32), seats, Leaf(library.size, library.warm_up, library.seconds, list(walks)))
        return await measured(
            "history", [job], target, show, library._asdict(), warm_up=library.warm_up, seconds=library.seconds
        )

    first = await leaf(_named("only chat", await chat(short)))
    long = _named("long chat", await chat(library.messages))
    await maker.chats([group] * (library.chats - 3))
    last = _named("last chat", await chat(short))
    return _compared(first, await leaf(long, last))


def _named(name: str, walk: Walk) -> Walk:
    return Walk(name, walk.chat, walk.length)


def _compared(first: Result, second: Result) -> Result:
    """Both as one, with what matters: how much slower it has become."""
    first.faults.merge(second.faults)
    second.faults = first.faults
    second.measures = first.measures | second.measures
    second.passed = first.passed and second.passed
    base = first.measures.get("only chat")
    for name in ("long chat", "last chat"):
        grown = second.measures.get(name)
        if base and grown and base.p99:
            second.figures[f"p99 of {name} / only chat"] = round(grown.p99 / base.p99, 2)
    return second
