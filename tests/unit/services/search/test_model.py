"""Makes random histories of messages, changes and members. A search must find the same as a model.

This holds for anything that happens to the process of search, and for any number of messages before a membership.
"""

import asyncio
import random

import pytest

from services.search.index import message_index
from shared.contract.body import pack_edited
from shared.contract.following import FollowChats
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import EditText, RecallText
from shared.contract.model import Text
from tests.unit.services.search.conftest import ON_BOTH
from tests.unit.services.search.peers import ANN, BOB, HALL, LOFT, ROOM, Peers

pytestmark = ON_BOTH
WORDS = ["lake", "tomorrow", "公园", "café", "ice cream", "wi-fi"]
CHATS = (ROOM, HALL, LOFT)


class HistoryModel:
    """The model of a history. `texts` are the texts of each chat. The text of a recalled message is None."""

    def __init__(self, peers: Peers) -> None:
        self.peers = peers
        self.texts: dict[ChatId, list[str | None]] = {chat: [] for chat in CHATS}
        self._nonce = 10_000
        self.is_lost = False

    async def step(self, chance: random.Random) -> None:
        chat = chance.choice(CHATS)
        texts, peers = self.texts[chat], self.peers
        present = [at for at, text in enumerate(texts, 1) if text is not None]
        match chance.choices(
            ("post", "edit", "recall", "join", "index", "commit", "kill", "lose", "deaf"), (9, 3, 2, 2, 4, 1, 1, 1, 1)
        )[0]:
            case "post":
                texts.append(" ".join(chance.sample(WORDS, 2)))
                await peers.post(chat, texts[-1] or "")
            case "edit" if present:
                at, self._nonce = chance.choice(present), self._nonce + 1
                texts[at - 1] = chance.choice(WORDS)
                await peers.change(chat, at, EditText(pack_edited((Text(texts[at - 1] or ""),)), Nonce(self._nonce)))
            case "recall" if present:
                at = chance.choice(present)
                texts[at - 1] = None
                await peers.change(chat, at, RecallText())
            case "join":
                peers.join(chance.choice((ANN, BOB)), chat, chance.choice((0, 1, len(texts) // 2 + 1, len(texts) + 1)))
            case "index":
                await peers.index()
            case "commit" if peers.follower._index is not None:
                await peers.follower._commit()
            case "kill":
                await self._kill()
            case "lose":
                peers.store.take_moved()
                peers._announced += 1
                self.is_lost = True
            case "deaf":
                peers.chats.lost()
            case _:
                pass

    async def _kill(self) -> None:
        """Kills the process of search in the middle of a write."""
        if (index := self.peers.directory.written) is not None:
            index.write((await self.peers.feed.follow(FollowChats(index.positions(CHATS)))).chats)
            index.give_up()
        await self.peers.close()
        self.peers.directory.read = self.peers.directory.written = None
        self.peers.start()

    async def check(self, account: AccountId, word: str) -> None:
        first = self.peers.session.first[account]
        expected = {
            (chat, at)
            for chat in first
            for at, text in enumerate(self.texts[chat], 1)
            if at >= first[chat] and text is not None and word in text
        }
        found, forward, first_three = await asyncio.gather(
            self.peers.found(word, account, count=50),
            self.peers.found(word, account, count=50, oldest_first=True),
            self.peers.found(word, account, count=3, oldest_first=True),
        )
        assert len(found) == len(set(found))
        assert set(found) == expected, (account, word)
        assert forward == found[::-1]
        assert first_three == forward[:3]


@pytest.mark.parametrize(("seed", "candidates"), [(0, 4_096), (1, 4)])
async def test_random_histories(peers: Peers, seed: int, candidates: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_index, "_CANDIDATES", candidates)
    monkeypatch.setattr(message_index, "_FURTHER_CANDIDATES", candidates)
    chance, model = random.Random(seed), HistoryModel(peers)
    for _ in range(10):
        for _ in range(12):
            await model.step(chance)
        await peers.index()
        if model.is_lost:
            peers.follower.doubt(0)  # this has the same effect as a wait of five minutes
            await peers.index()
        model.is_lost = False
        for word in WORDS:
            for account in (ANN, BOB):
                await model.check(account, word)
