"""Measures an upgrade with search switched on: `python -m tests.stages.upgrading --messages 1000000`.

A data directory of commit 9456d506, the oldest that can be upgraded, gets this number of messages and loses its search
index. Then this version starts in it. Ann posts a message every few seconds, and searches for it, until the index has
all messages.
"""

import argparse
import itertools
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from bench.measurements.measured import machine
from bench.system.processes import cpu_seconds
from shared.contract.body import unpack_segments
from shared.contract.ids import ChatId
from shared.contract.model import Message, Text
from shared.migrate import upgrade
from tests.stages.searching import MadeMessages
from tests.support.cluster import RELAXED, Cluster
from tests.system.test_upgrade import ANN, ARCHIVE, CHAT
from tests.system.users import NativeUser

_LENGTH = 500
"""The number of messages in each chat."""
_COMPARED_CHATS = 20
_PHRASE = 8
"""The number of words in a search for a message. A query has 200 characters at most."""
_INTERVAL_SECONDS = 10.0
"""The time between two messages of Ann."""
_POLL_SECONDS = 0.02
_NEW_SECONDS = 5.0
"""The index has all messages if its `indexed_to` is newer than this."""


class OldInstallation:
    """A data directory of the oldest commit that can be upgraded. Ann and Bob are in all chats that are added."""

    def __init__(self, data: Path, messages: int) -> None:
        self.data, self.messages = data, messages
        self.made = MadeMessages(messages)
        self.chats = [ChatId(CHAT + 1 + number) for number in range((messages + _LENGTH - 1) // _LENGTH)]

    def write(self) -> None:
        self.data.mkdir(mode=0o700)
        with ZipFile(ARCHIVE) as archive:
            archive.extractall(self.data, [one for one in archive.namelist() if not one.startswith("search/")])
        with closing(sqlite3.connect(self.data / "session.db")) as session, session:
            for table, column in (("chat", "id"), ("member", "chat")):
                rows = session.execute(f"SELECT * FROM {table} WHERE {column} = {CHAT}").fetchall()
                places = ", ".join("?" * len(rows[0]))
                session.executemany(
                    f"INSERT INTO {table} VALUES ({places})",
                    ((chat, *row[1:]) for chat in self.chats for row in rows),
                )
        with closing(sqlite3.connect(self.data / "message.db")) as message, message:
            (last,) = message.execute("SELECT max(id) FROM messages").fetchone()
            message.executemany(
                "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    (number, one.chat, one.index, ANN.number, one.index, one.time, one.body)
                    for number, one in enumerate(self._all(), last + 1)
                ),
            )
            message.execute(
                'INSERT INTO heads SELECT chat_id, max("index"), max(time), 0 FROM messages WHERE chat_id > ?'
                " GROUP BY chat_id", [CHAT],
            )  # fmt: skip

    def of(self, chat: ChatId) -> list[Message]:
        length = min(_LENGTH, self.messages - (chat - CHAT - 1) * _LENGTH)
        return [self.made.message(chat, index) for index in range(1, length + 1)]

    def _all(self) -> Iterator[Message]:
        return itertools.chain.from_iterable(map(self.of, self.chats))

    def bytes(self, part: str) -> int:
        """Returns the size of the files whose names begin with `part`."""
        return sum(file.stat().st_size for place in self.data.glob(f"{part}*") for file in _files(place))


def _files(place: Path) -> Iterator[Path]:
    return (one for one in ([place] if place.is_file() else place.rglob("*")) if one.is_file())


def measure(installation: OldInstallation) -> list[str]:
    """Upgrades the installation, and returns lines of text about it."""
    data = installation.data
    began = time.monotonic()
    for service in ("auth", "session", "message"):
        upgrade(service, f"sqlite:///{data / service}.db")
    migrated = time.monotonic() - began
    before = installation.bytes("message.db")
    with Cluster(data, *RELAXED, edges=1) as cluster, NativeUser(cluster.edges[0]) as ann:
        ready = time.monotonic()
        ann.do("login", identifier=ANN.email, secret={"scheme": "sha256", "value": ANN.secret})
        posted, found = _until_indexed(ann)
        indexed = time.monotonic() - ready
        search = cluster.process("search")
        assert search is not None
        cpu = cpu_seconds(search.pid) or 0.0
        _compare(ann, installation)
        size = installation.bytes("search")
    return [
        f"{machine()}; {installation.messages} messages in {len(installation.chats)} chats",
        f"migrated in {migrated:.1f} s, ready {ready - began:.1f} s after the beginning",
        f"all messages were indexed {indexed:.1f} s later, by {cpu:.1f} s of CPU time of search",
        f"{len(posted)} new messages meanwhile: acknowledged within {max(posted):.2f} s, "
        f"found within {max(found):.2f} s",
        f"message.db has {before / 2**20:.0f} MiB, and the index {size / 2**20:.1f} MiB "
        f"({size / installation.messages:.0f} bytes a message)",
    ]


def _until_indexed(ann: NativeUser) -> tuple[list[float], list[float]]:
    """Posts until search says that the index has all messages.

    Returns the seconds until each message was acknowledged, and from then until it was found.
    """
    posted, found = list[float](), list[float]()
    for number in itertools.count():
        began = time.monotonic()
        ann.do("send", chat=CHAT, text=f"needle{number} of Ann", nonce=str(number))
        posted.append(time.monotonic() - began)
        while not (reply := ann.call("search", query=f"needle{number} ")).get("hits"):
            time.sleep(_POLL_SECONDS)
        found.append(time.monotonic() - began - posted[-1])
        while not _is_complete(reply) and time.monotonic() < began + _INTERVAL_SECONDS:
            time.sleep(_POLL_SECONDS)
            reply = ann.call("search", query=f"needle{number} ")
        if _is_complete(reply):
            return posted, found
    raise AssertionError


def _is_complete(reply: Mapping[str, Any]) -> bool:
    return bool(reply.get("indexed_to", 0) > 1000 * (time.time() - _NEW_SECONDS))


def _compare(ann: NativeUser, installation: OldInstallation) -> None:
    """Compares the newest messages of some chats, and searches for the newest of each."""
    chance = random.Random(3)
    for chat in chance.sample(installation.chats, min(_COMPARED_CHATS, len(installation.chats))):
        texts = [_text(one) for one in installation.of(chat)]
        page = ann.call("history", chat=chat, count=min(200, len(texts)))["messages"]
        shown = [one["segments"][0]["text"] for one in sorted(page, key=lambda one: one["index"])]
        assert shown == texts[-len(shown) :], f"the messages of chat {chat} differ"
        query = " ".join(texts[-1].split()[:_PHRASE])
        hits = ann.call("search", chat=chat, query=f'"{query}"', count=50)["hits"]
        assert len(texts) in [hit["index"] for hit in hits], f"search does not find the newest message of chat {chat}"


def _text(message: Message) -> str:
    (segment,) = unpack_segments(message.body)
    assert isinstance(segment, Text)
    return segment.text


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.stages.upgrading", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000, help="default 10000")
    parser.add_argument("--directory", type=Path, help="where the data directory is made (default: a temporary one)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.directory) as place:
        installation = OldInstallation(Path(place) / "data", given.messages)
        installation.write()
        lines = measure(installation)
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
