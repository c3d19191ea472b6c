"""Measures the cost of indexing, the size of the index, and the time of searches: `python -m tests.stages.searching`.

Messages are generated when the service search requests them. So there is no database, and only this service is
measured. The messages have 3 to 20 words, which are as frequent as words of a language. A few of the chats have most of
the messages. In some chats, the account sees only the later half.
"""

import argparse
import asyncio
import itertools
import math
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from bench.measurements.measured import machine
from services.search.index.directory import IndexDirectory
from services.search.metrics import SearchMetrics
from services.search.service import following
from services.search.service.answering import TextSearch
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
_HIDDEN = "hidden"
"""A word that occurs only in messages of the first half of a chat."""


class MadeMessages:
    """Generated messages.

    They replace the services message and session. The messages and chats are the same in each run.
    """

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
            messages = [self.message(chat, at) for at in range(index + 1, upto + 1)]
            chats.append(ChatNews(HeadPosition(chat, upto), messages, [], more=upto < self.sizes[chat]))
            left -= len(messages)
            if left <= 0:
                return News(chats, more=True)
        return News(chats)

    async def visible(self, request: ReadVisible) -> Visible:
        return Visible([self.message(chat, at) for chat, low, high in request.ranges for at in range(low, high + 1)])

    async def request(self, request: object, **_: object) -> Any:
        """Replies to requests for names. No query of this measurement has a name."""
        raise NotImplementedError(request)

    async def answer(self, _answers: bool) -> None:
        """Does nothing, because there is no other replica of search."""

    async def of(self, _account: AccountId) -> dict[ChatId, int]:
        return self._own

    def own(self, number: int, late: float, chance: random.Random) -> None:
        """Makes the account a member of `number` chats.

        In the share `late` of these chats, it sees only the second half of the messages.
        """
        chats = chance.sample(range(1, len(self.sizes)), min(number, len(self.sizes) - 1))
        since = {chat: self.sizes[chat] // 2 + 1 for chat in chats[: round(late * number)]}
        self._own = {ChatId(chat): since.get(chat, 1) for chat in chats}

    def message(self, chat: ChatId, index: int) -> Message:
        place = (chat * 7_919 + index * 104_729) % (len(self._stream) - 20)
        text = " ".join(self._stream[place : place + 3 + place % 18])
        if index % 10 == 1 and 2 * index <= self.sizes[chat]:
            text += f" {_HIDDEN}"
        when = _START + index * 60_000 + chat % 60_000
        return Message(
            chat, index, MessageId(0), AccountId(chat % 1_000 + 1), when, pack_segments((Text(text),)), Nonce(0)
        )

    def queries(self, chance: random.Random) -> Iterator[tuple[str, str]]:
        """Returns one query of each kind."""
        frequent, middling, rare = (
            self.words[chance.randrange(low, high)] for low, high in ((0, 50), (500, 5_000), (20_000, _WORDS))
        )
        yield from {
            "a frequent word": f"{frequent} ", "a word of middling frequency": f"{middling} ",
            "a rare word": f"{rare} ",
            "two words": f"{frequent} {middling} ", "a phrase": f'"{frequent} {middling}"',
            "the beginning of a word": rare[:3], "a word and not another": f"{middling} -{frequent} ",
            "no word": "qqqqqqqqqq ", "a word only where late members are none": f"{_HIDDEN} ",
        }.items()  # fmt: skip


async def measure(messages: int, searches: int, shares: Sequence[float], directory: Path) -> list[str]:
    """Measures. If the directory already contains an index, reads this index and does not build one."""
    made, registry = MadeMessages(messages), CollectorRegistry()
    indexes, metrics = IndexDirectory(directory, _MEMORY), SearchMetrics(registry)
    following._BUSY = math.inf  # the benchmark may use this thread without pauses
    following._PAUSE_RATIO = 0
    following._lower_priority = lambda: None
    follower = following.Follower(made.positions, made.news, indexes, metrics, made.answer)
    began, cpu = time.monotonic(), time.process_time()
    await follower.catch_up()
    cpu, took = time.process_time() - cpu, time.monotonic() - began
    assert indexes.read is not None
    size = indexes.read.bytes
    lines = [
        f"{machine()}; {messages} messages in {len(made.sizes) - 1} chats",
        f"{int(metrics.indexed._value.get())} indexed in {cpu:.1f} s of CPU time ({took:.0f} s), "
        f"{size / messages:.0f} bytes a message",
    ]
    search = TextSearch(indexes, follower.indexed_to, made.of, made.visible, NameResolver(made.request, 1.0), metrics)
    tune_garbage_collection()
    for number, late in itertools.product(_NUMBERS, shares):
        times: dict[str, list[float]] = {}
        chance = random.Random(11)
        made.own(number, late, chance)
        for _ in range(searches):
            for kind, query in made.queries(chance):
                start = time.monotonic()
                await search.find(SearchMessages(query, actor=ANN))
                times.setdefault(kind, []).append(1000 * (time.monotonic() - start))
        everything = [one for some in times.values() for one in some]
        kinds = "; ".join(f"{kind} {_times(some)}" for kind, some in times.items())
        lines.append(f"{number} chats, {late:.0%} of them joined late: {_times(everything)} ({kinds})")
    await follower.close()
    await search.close()
    return lines


def _times(times: list[float]) -> str:
    """Returns p50 and p99 in milliseconds."""
    p50, p99 = (sorted(times)[min(len(times) - 1, int(len(times) * part))] for part in (0.5, 0.99))
    return f"{p50:.0f}, {p99:.0f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.stages.searching", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--searches", type=int, default=50, help="of each kind")
    parser.add_argument(
        "--late", type=float, nargs="+", default=[0.1, 1.0], help="shares of chats that are joined late"
    )
    parser.add_argument("--index", type=Path, help="a directory in which the index is kept for the next run")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = chosen.index or Path(folder)
        lines = asyncio.run(measure(chosen.messages, chosen.searches, chosen.late, place))
    sys.stdout.write("\n".join(lines) + "\n")
