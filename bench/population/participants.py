"""Who takes part in a run: written into the databases of a system of one's own, registered one by one in any other."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from bench.measurement.progress import ProgressLine
from bench.measurement.system import MeasuredSystem
from bench.population.accounts import Registrar
from bench.population.seeding import Seeder
from clients.codec.base import ClientAccount


class ChatGroup(NamedTuple):
    """A chat of many, whose dialects the run chooses, and of a speaker of v2."""

    chat: int
    speaker: ClientAccount
    people: list[ClientAccount]


async def participants(target: MeasuredSystem, show: ProgressLine, dialects: Sequence[str]) -> list[ClientAccount]:
    """One for each, of that dialect. Raises ClientError."""
    if (seedbed := await _seedbed(target)) is None:
        return await Registrar(target.edges, show.step).users(dialects)
    return await asyncio.to_thread(lambda: seedbed.users(seedbed.accounts(len(dialects))))


async def chat_groups(
    target: MeasuredSystem, show: ProgressLine, dialects: Sequence[str], most: int
) -> list[ChatGroup]:
    """All of these people in as few chats as hold `most` each. Raises ClientError."""
    count = -(-len(dialects) // most)
    groups = [dialects[number::count] for number in range(count)]
    if (seedbed := await _seedbed(target)) is None:
        return await _made(Registrar(target.edges, show.step), groups)
    return [await _written(seedbed, len(group)) for group in groups]


async def _made(maker: Registrar, groups: Sequence[Sequence[str]]) -> list[ChatGroup]:
    """Of groups of dialects."""
    found = []
    for dialects in groups:
        speaker, *others = await maker.users(["v2", *dialects])
        [chat] = await maker.chats([[(speaker, "v2"), *zip(others, dialects, strict=True)]])
        found.append(ChatGroup(chat, speaker, others))
    return found


async def _written(seedbed: Seeder, size: int) -> ChatGroup:
    accounts = await asyncio.to_thread(seedbed.accounts, size + 1)
    chats = await asyncio.to_thread(seedbed.chats, accounts, size + 1)
    await seedbed.publish(chats)
    speaker, *others = await asyncio.to_thread(seedbed.users, accounts)
    return ChatGroup(chats[0], speaker, others)


async def _seedbed(target: MeasuredSystem) -> Seeder | None:
    if target.own and target.installation is not None:
        return await asyncio.to_thread(Seeder, target.installation)
    return None
