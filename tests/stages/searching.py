"""`python -m tests.stages.searching`: what indexing takes, how large the index is, and how long searches take.

Messages are made as they are requested, so there is no database: what is measured is the service of search alone. They
have 3 to 20 words with the frequencies of a language, in chats of which few hold most of them. In a tenth of its chats
the account sees the later half.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from bench.measurements.measured import machine
from services.search.index.directory import IndexDirectory
from services.search.metrics import SearchMetrics
from services.search.service.answering import TextSearch
from services.search.service.following import Follower
from services.search.service.names import NameResolver
from shared.contract.body import pack_segments
from shared.contract.following import (
    ChatNews,
    FollowChats,
    HeadPosition,
    ListPositions,
    News,
    PositionPage,
    ReadVisible,
    Visible,
)
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.model import Message, Text
from shared.contract.search import SearchMessages
from shared.process import tune_garbage_collection

ANN = AccountId(1)
_WORDS = 50_000
_MESSAGES_OF_CHAT = 50
_REPLY = 1_000
_PAGE = 5_000
_START = 1_700_000_000_000
_MEMORY = 64 * 2**20
_NUMBERS = (50, 1_000, 10_000)


class MadeMessages:
    """Answers for message and session; the same at each run."""

    def __init__(self, messages: int) -> None:
        chance = random.Random(7)
        self.words = [
            "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(_WORDS)
        ]
        ranks = [int(_WORDS * chance.random() ** 3) for _ in range(200_000)]
        self._stream = [self.words[rank] for rank in ranks]
        self.sizes = [0, *[1] * (messages // _MESSAGES_OF_CHAT)]
        for _ in range(messages - len(self.sizes) + 1):
            self.sizes[1 + int((len(self.sizes) - 1) * chance.random() ** 2)] += 1
        self._own: dict[ChatId, int] = {}

    async def positions(self, request: ListPositions) -> PositionPage:
        last = min(request.after + _PAGE, len(self.sizes) - 1)
        heads = [HeadPosition(ChatId(chat), self.sizes[chat]) for chat in range(request.after + 1, last + 1)]
        return PositionPage(heads, "made", more=last < len(self.sizes) - 1)

    async def news(self, request: FollowChats) -> News:
        left, chats = _REPLY, list[ChatNews]()
        for chat, index, _ in ((one.chat, one.index, one.rev) for one in request.positions):
            upto = min(self.sizes[chat], index + left)
            messages = [self._message(chat, at) for at in range(index + 1, upto + 1)]
            chats.append(ChatNews(HeadPosition(chat, upto), messages, [], more=upto < self.sizes[chat]))
            left -= len(messages)
            if left <= 0:
                return News(chats, more=True)
        return News(chats)

    async def visible(self, request: ReadVisible) -> Visible:
        return Visible([self._message(chat, at) for chat, low, high in request.ranges for at in range(low, high + 1)])

    async def request(self, route: object, request: object, **_: object) -> Any:
        """Of names, which no query has."""
        raise NotImplementedError(request)

    async def of(self, _account: AccountId) -> dict[ChatId, int]:
        return self._own

    def own(self, number: int, chance: random.Random) -> None:
        """The account is a member of so many chats."""
        chats = chance.sample(range(1, len(self.sizes)), min(number, len(self.sizes) - 1))
        self._own = {ChatId(chat): self.sizes[chat] // 2 + 1 if at % 10 == 0 else 1 for at, chat in enumerate(chats)}

    def _message(self, chat: ChatId, index: int) -> Message:
        place = (chat * 7_919 + index * 104_729) % (len(self._stream) - 20)
        text = " ".join(self._stream[place : place + 3 + place % 18])
        when = _START + index * 60_000 + chat % 60_000
        return Message(
            chat, index, MessageId(0), AccountId(chat % 1_000 + 1), when, pack_segments((Text(text),)), Nonce(0)
        )

    def queries(self, chance: random.Random) -> Iterator[tuple[str, str]]:
        """One of each kind."""
        frequent, middling, rare = (
            self.words[chance.randrange(low, high)] for low, high in ((0, 50), (500, 5_000), (20_000, _WORDS))
        )
        yield from {
            "a frequent word": f"{frequent} ", "a word of middling frequency": f"{middling} ",
            "a rare word": f"{rare} ",
            "two words": f"{frequent} {middling} ", "a phrase": f'"{frequent} {middling}"',
            "the beginning of a word": rare[:3], "a word and not another": f"{middling} -{frequent} ",
        }.items()  # fmt: skip


async def measure(messages: int, searches: int, directory: Path) -> list[str]:
    made, registry = MadeMessages(messages), CollectorRegistry()
    indexes, metrics = IndexDirectory(directory, _MEMORY), SearchMetrics(registry)
    follower = Follower(made, indexes, metrics)
    began, cpu = time.monotonic(), time.process_time()
    await follower.catch_up()
    cpu, took = time.process_time() - cpu, time.monotonic() - began
    assert indexes.read is not None
    size = indexes.read.bytes
    lines = [
        f"{machine()}; {messages} messages in {len(made.sizes) - 1} chats",
        f"indexed in {cpu:.1f} s of processor time ({took:.0f} s), {size / messages:.0f} bytes a message",
    ]
    search = TextSearch(indexes, follower.indexed_to, made, made.visible, NameResolver(made.request, 1.0), metrics)
    chance = random.Random(11)
    tune_garbage_collection()
    for number in _NUMBERS:
        times: dict[str, list[float]] = {}
        made.own(number, chance)
        for _ in range(searches):
            for kind, query in made.queries(chance):
                start = time.monotonic()
                await search.find(SearchMessages(query, actor=ANN))
                times.setdefault(kind, []).append(1000 * (time.monotonic() - start))
        everything = sorted(one for some in times.values() for one in some)
        lines.append(f"{number} chats: p50 {_part(everything, 0.5):.0f} ms, p99 {_part(everything, 0.99):.0f} ms")
        lines += [f"  {kind}: {_part(some, 0.5):.0f}, {_part(some, 0.99):.0f}" for kind, some in times.items()]
    await follower.close()
    await search.close()
    return lines


def _part(times: list[float], part: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * part))]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.stages.searching", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--searches", type=int, default=50, help="of each kind")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines = asyncio.run(measure(chosen.messages, chosen.searches, Path(folder)))
    sys.stdout.write("\n".join(lines) + "\n")
