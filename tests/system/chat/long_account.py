"""Makes an account with many chats and one long chat in seconds.

The messages of the long chat are written into the database while no service runs.
"""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.system.chat.conftest import Bob

_SENDERS = 8
_GROUPS_OF_AN_OWNER = 200
_TEXTS = 40
_APART_MS = 20_000
_COPY = """
    WITH RECURSIVE series (n) AS (SELECT ? + 1 UNION ALL SELECT n + 1 FROM series WHERE n < ?)
    INSERT INTO messages (chat_id, "index", sender, nonce, time, body)
    SELECT chat_id, n, sender, -n, ? + n * ?, body FROM series JOIN messages
    ON chat_id = ? AND "index" = 1 + n % ?"""


class LongAccount:
    """An account with many chats. `username` is its name. `long` is a long chat with the name Long, which the account
    has read to its end.

    `sender` is the user who writes in the long chat.
    """

    def __init__(self, edge: str, chats: int) -> None:
        self._owners = [Bob(edge) for _ in range(1 + chats // _GROUPS_OF_AN_OWNER)]
        self._account = Bob(edge)
        self.username = self._account.username
        with ThreadPoolExecutor(_SENDERS) as pool:
            list(pool.map(self._group, range(chats - 1)))
        self.sender = self._owners[0]
        self.long = self.sender.group("Long", self._account.account)
        for number in range(_TEXTS):
            self.sender.send(self.long, f"message {number} " + "word " * number)

    def _group(self, number: int) -> None:
        owner = self._owners[number % len(self._owners)]
        owner.send(owner.group(f"Group {number}", self._account.account), "hello")

    def lengthen(self, data: Path, messages: int) -> None:
        """Writes messages into the long chat. No service may run meanwhile."""
        now = int(time.time() * 1000)
        with sqlite3.connect(data / "message.db") as database:
            database.execute(_COPY, (_TEXTS, messages, now - (messages + 1) * _APART_MS, _APART_MS, self.long, _TEXTS))
            database.execute(
                "UPDATE heads SET last_index = ?, last_time = ? WHERE chat_id = ?", (messages, now, self.long)
            )
        database.close()

    def at(self, edge: str, messages: int) -> None:
        """Starts the system again, with this number of messages in the long chat."""
        for one in (self.sender, self._account):
            one.move(edge)
        self._account.call("read", chat=self.long, index=messages)
