"""Users of the other dialects who write to users of the web client."""

import uuid
from collections.abc import Sequence
from hashlib import md5
from typing import Protocol

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_websocket

from dragoman_client.codec import CODECS
from dragoman_client.codec.base import ClientAccount, Destination
from dragoman_client.errors import ClientError
from tests.support.blocking_client import BlockingClient, connect
from tests.support.chat_page import PASSWORD

DIALECTS = ("ourchat-v0", "ourchat-v1", "ourchat-v2", "service", "pipe")
_REPLY_SECONDS = 5.0


class SoakUser(Protocol):
    """A user who writes during the soak.

    A message without a reply is not sent again, because it may have been stored.
    """

    number: int

    def write(self, chat: int, text: str) -> None: ...

    def close(self) -> None: ...


class DialectWriter:
    """A user of one dialect. When its connection ends, it connects to the other edge. `tag` makes its names unique."""

    def __init__(self, edges: Sequence[str], dialect: str, tag: object, nickname: str = "") -> None:
        self._edges = edges
        self._codec = CODECS[dialect]
        name = f"{dialect.replace('-', '')}x{tag}"
        secret = md5(name.encode()).hexdigest()  # noqa: S324 (the protocol's choice)
        email = "" if dialect == "pipe" else f"{name}@dragoman.test"
        self._account = ClientAccount(nickname or name, secret, email=email, uuid=str(uuid.uuid4()))
        self._client: BlockingClient | None = self._connected()
        reply = self._client.request(self._codec.register(self._account))
        self._account.number, self._account.token = reply.number, reply.token
        if not self._codec.registration_logs_in:
            self._log_in(self._client)
        self.number = self._account.number

    def write(self, chat: int, text: str) -> None:
        try:
            if self._client is None:
                self._edges = [*self._edges[1:], self._edges[0]]
                client = self._connected()
                self._log_in(client)
                self._client = client
            self._client.request(self._codec.post(self._account, Destination(chat), text), _REPLY_SECONDS)
        except (ClientError, OSError):
            self.close()

    def close(self) -> None:
        if self._client is not None:
            self._client.connection.close()
        self._client = None

    def _log_in(self, client: BlockingClient) -> None:
        reply = client.request(self._codec.login(self._account), _REPLY_SECONDS)
        self._account.number = reply.number or self._account.number
        self._account.token = reply.token or self._account.token

    def _connected(self) -> BlockingClient:
        return BlockingClient(connect(self._edges[0], self._codec, seconds=_REPLY_SECONDS), self._codec)


class IrcWriter:
    """A user of IRC. It needs an account with a username. IRC does not acknowledge messages."""

    number = 0

    def __init__(self, edges: Sequence[str], username: str) -> None:
        self._edges = edges
        self._username = username
        self._socket: ClientConnection | None = None

    def write(self, chat: int, text: str) -> None:
        try:
            if self._socket is None:
                self._edges = [*self._edges[1:], self._edges[0]]
                self._socket = connect_websocket(
                    f"{self._edges[0]}/ws/irc", open_timeout=_REPLY_SECONDS, proxy=None, legacy=True
                )
                for line in (f"PASS {self._username}:{PASSWORD}", "NICK ivy", "USER ivy 0 * :Ivy"):
                    self._socket.send(line)
                while " 001 " not in str(self._socket.recv(_REPLY_SECONDS)):
                    pass
            self._socket.send(f"PRIVMSG #~{chat} :{text}")
        except (WebSocketException, OSError):
            self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
