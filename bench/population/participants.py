"""The accounts of a run: seeded into the databases of the bench's own system, registered in any other."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from bench.measurement.progress import ProgressLine
from bench.measurement.system import MeasuredSystem
from bench.population.accounts import Registrar
from bench.population.seeding import Seeder
from clients.codec.base import ClientAccount


class ChatGroup(NamedTuple):
    """A chat of `members`, whose dialects the run chooses, and a `sender` of v2."""

    chat: int
    sender: ClientAccount
    members: list[ClientAccount]


async def participants(target: MeasuredSystem, show: ProgressLine, dialects: Sequence[str]) -> list[ClientAccount]:
    """One account for each dialect. Raises ClientError."""
    if (seeder := await _seeder(target)) is None:
        return await Registrar(target.edges, show.step).users(dialects)
    return await asyncio.to_thread(lambda: seeder.users(seeder.accounts(len(dialects))))


async def chat_groups(
    target: MeasuredSystem, show: ProgressLine, dialects: Sequence[str], most: int
) -> list[ChatGroup]:
    """An account for each dialect, in as few chats of at most `most` members as possible. Raises ClientError."""
    count = -(-len(dialects) // most)
    groups = [dialects[number::count] for number in range(count)]
    if (seeder := await _seeder(target)) is None:
        return await _made(Registrar(target.edges, show.step), groups)
    return [await _written(seeder, len(group)) for group in groups]


async def _made(registrar: Registrar, groups: Sequence[Sequence[str]]) -> list[ChatGroup]:
    """Register the members of each group and create its chat."""
    found = []
    for dialects in groups:
        sender, *others = await registrar.users(["v2", *dialects])
        [chat] = await registrar.chats([[(sender, "v2"), *zip(others, dialects, strict=True)]])
        found.append(ChatGroup(chat, sender, others))
    return found


async def _written(seeder: Seeder, size: int) -> ChatGroup:
    accounts = await asyncio.to_thread(seeder.accounts, size + 1)
    chats = await asyncio.to_thread(seeder.chats, accounts, size + 1)
    await seeder.publish(chats)
    sender, *others = await asyncio.to_thread(seeder.users, accounts)
    return ChatGroup(chats[0], sender, others)


async def _seeder(target: MeasuredSystem) -> Seeder | None:
    if target.own and target.installation is not None:
        return await asyncio.to_thread(Seeder, target.installation)
    return None
