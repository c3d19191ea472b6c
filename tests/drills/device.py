"""A device of a user. It reconnects whenever its connection ends, logs in by password and continues to post."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from dragoman_client.codec.base import ClientAccount
from dragoman_client.errors import ClientError, RequestRejected
from tests.drills.client_profiles import PlainProfile
from tests.drills.recorded_connection import Journal, RecordedConnection, dial
from tests.drills.records import ConnectAttempted

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 2.0
_MOST_UNANSWERED = 8
_WRONG_PASSWORD = "wrong password"
"""A part of the error's text in every dialect."""
_FILLERS = ("", "", "", "…", "汉字 ", "🐉", 'quoted "\\\n" ', "long " * 400)


Edge = tuple[str, str]
"""The name and the URL of an edge."""


@dataclass
class DrillUser:
    account: ClientAccount
    chats: list[int] = field(default_factory=list)
    partners: dict[int, int] = field(default_factory=dict)
    """The number of the other user of each private chat."""


class DrillClient:
    """The client first connects to the edge at position `home`, and after each failure to the next edge.

    `edges` may change meanwhile.
    """

    def __init__(
        self, name: str, user: DrillUser, edges: Sequence[Edge], home: int, profile: PlainProfile, journal: Journal
    ) -> None:
        self.name = name
        self.user = user
        self.connection: RecordedConnection | None = None
        """The connection. It is set while the client is logged in and has listed its chats."""
        self.stopped = False
        """Makes `post_repeatedly` end. This task is never cancelled, because it may be sending a message."""
        self.retired = False
        """Whether the client has stopped for good. Then it neither leaves nor reconnects any more."""
        self._edges = edges
        self._at = home
        self._profile = profile
        self._journal = journal
        self._posts_at = 0.0
        self._posts = 0
        self._away = asyncio.Event()
        self._away.set()

    async def live(self) -> None:
        """Connects and reconnects until the task is cancelled or the client is retired.

        `end` then closes the connection.
        """
        pause = _FIRST_PAUSE_SECONDS
        while not self.retired:
            await self._away.wait()
            if await self._connected():
                pause = _FIRST_PAUSE_SECONDS
            else:
                self._at += 1
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(random.uniform(0, pause))

    async def leave(self, seconds: float) -> None:
        """Closes the connection with a closing handshake, and reconnects to the next edge after this time.

        If the device is already reconnecting, it continues to do so. Otherwise, it would return to an edge that has
        just failed.
        """
        if self.connection is None or self.retired:
            return
        self._away.clear()
        self._at += 1
        try:
            await self.connection.close()
            await asyncio.sleep(seconds)
        finally:
            self._away.set()

    async def end(self) -> None:
        if self.connection is not None:
            await self.connection.close()

    async def post_repeatedly(self, per_second: float) -> None:
        """Posts to random chats while the client is connected and not too many of its messages are unanswered."""
        while not self.stopped:
            await asyncio.sleep(random.expovariate(per_second))
            if self.may_post:
                self.post(random.choice(self.user.chats))

    @property
    def may_post(self) -> bool:
        connection = self.connection
        return (
            connection is not None and time.monotonic() >= self._posts_at and connection.unanswered < _MOST_UNANSWERED
        )

    def post(self, chat: int) -> None:
        assert self.connection is not None
        self._posts += 1
        text = f"{self.name} {self._posts} {random.choice(_FILLERS)}"
        self.connection.post(self._profile.message(self.user.account, chat, text), chat)

    async def _connected(self) -> bool:
        """Runs one connection from its beginning to its end. Returns whether the client was logged in."""
        (edge, url), profile = self._edges[self._at % len(self._edges)], self._profile
        self._journal(ConnectAttempted(time.monotonic(), self.name))
        try:
            address, decode = url + profile.path, profile.decoder()
            connection = await dial(address, self._journal, self.name, edge, profile.codec, decode)
        except (ClientError, TimeoutError):
            return False
        async with asyncio.TaskGroup() as group:
            arriving = group.create_task(self._arrive(connection))
            await connection.wait_ended()
            self.connection = None
            arriving.cancel()
        return connection.ocid > 0

    async def _arrive(self, connection: RecordedConnection) -> None:
        """Logs in, sends the requests of the client's profile, and allows posts.

        Then lists each chat that a push announces.
        """
        account, profile = self.user.account, self._profile
        try:
            await profile.before_login(connection)
            await self._login(connection)
            await profile.after_login(connection, account.number)
            self._posts_at = time.monotonic() + profile.silent_seconds
            self.connection = connection
            while True:
                await profile.list_session(connection, await connection.new_chats.get())
        except (ClientError, TimeoutError):
            await connection.close()

    async def _login(self, connection: RecordedConnection) -> None:
        """Raises ClientError."""
        try:
            await connection.request(self._profile.login(self.user.account))
        except RequestRejected as rejected:
            if _WRONG_PASSWORD in str(rejected) and not self.retired:
                raise RuntimeError(f"{self.name}: the right password was rejected") from rejected
            raise
