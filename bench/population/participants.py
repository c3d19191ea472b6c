"""Who takes part in a run: written into the databases of a system of one's own, registered one by one in any other."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from bench.measurement.progress import Show
from bench.measurement.system import Target
from bench.population.accounts import Maker
from bench.population.seeding import Seedbed
from clients.codec.base import ClientAccount


class Circle(NamedTuple):
    """A chat of many, whose dialects the run chooses, and of a speaker of v2."""

    chat: int
    speaker: ClientAccount
    people: list[ClientAccount]


async def people(target: Target, show: Show, dialects: Sequence[str]) -> list[ClientAccount]:
    """One for each, of that dialect. Raises ClientError."""
    if (seedbed := await _seedbed(target)) is None:
        return await Maker(target.edges, show.step).people(dialects)
    return await asyncio.to_thread(lambda: seedbed.people(seedbed.accounts(len(dialects))))


async def circles(target: Target, show: Show, dialects: Sequence[str], most: int) -> list[Circle]:
    """All of these people in as few chats as hold `most` each. Raises ClientError."""
    count = -(-len(dialects) // most)
    groups = [dialects[number::count] for number in range(count)]
    if (seedbed := await _seedbed(target)) is None:
        return await _made(Maker(target.edges, show.step), groups)
    return [await _written(seedbed, len(group)) for group in groups]


async def _made(maker: Maker, groups: Sequence[Sequence[str]]) -> list[Circle]:
    """Of groups of dialects."""
    found = []
    for dialects in groups:
        speaker, *others = await maker.people(["v2", *dialects])
        [chat] = await maker.chats([[(speaker, "v2"), *zip(others, dialects, strict=True)]])
        found.append(Circle(chat, speaker, others))
    return found


async def _written(seedbed: Seedbed, size: int) -> Circle:
    accounts = await asyncio.to_thread(seedbed.accounts, size + 1)
    chats = await asyncio.to_thread(seedbed.chats, accounts, size + 1)
    await seedbed.publish(chats)
    speaker, *others = await asyncio.to_thread(seedbed.people, accounts)
    return Circle(chats[0], speaker, others)


async def _seedbed(target: Target) -> Seedbed | None:
    if target.own and target.installation is not None:
        return await asyncio.to_thread(Seedbed, target.installation)
    return None
