"""The login of a client. It has tokens, which are replaced by a refresh, and estimates the server's clock."""

import asyncio
import time
from collections.abc import Callable

import msgspec

from dragoman_client.client.connection import CommandLost, CommandRejected, Members, NativeConnection
from dragoman_client.client.store import Changes

_MARGIN_MS = 60_000
"""A token that expires within this time is replaced."""


class StoredLogin(msgspec.Struct, omit_defaults=True):
    """`account`: the number of the account, or 0 before the first login. `refresh`: the refresh token. It is empty for
    a bot, and for a login that cannot be refreshed."""

    account: int = 0
    token: str = ""
    expires: int = 0
    refresh: str = ""


class Tokens:
    """The tokens of a login. `write`: a function that writes to the store. A new refresh token is stored before it is
    used. If the reply to a refresh is lost, the refresh is repeated with the old token, and returns the same new
    token."""

    def __init__(self, stored: bytes | None, token: str, write: Callable[[Changes], None]) -> None:
        """`token`: a token that replaces the stored one."""
        self.login = msgspec.json.decode(stored or b"{}", type=StoredLogin)
        if token and token != self.login.token:
            self.login = StoredLogin(self.login.account, token)
        self._write = write
        self._refreshing = asyncio.Lock()
        self._clock_ms: float | None = None

    def server_time(self) -> int:
        """The Unix milliseconds on the server's clock. Before the first login, the own clock is used."""
        return round(time.time() * 1000 if self._clock_ms is None else time.monotonic() * 1000 + self._clock_ms)

    def note_time(self, reply: Members) -> None:
        if isinstance(shown := reply.get("time"), int):
            self._clock_ms = shown - time.monotonic() * 1000

    def take(self, reply: Members) -> None:
        """Take the tokens from the reply to a login or to a refresh. Raises CommandRejected if they belong to another
        account."""
        account = reply.get("account", 0)
        if self.login.account not in (0, account):
            raise CommandRejected("conflict", "this client belongs to another account")
        self.note_time(reply)
        login = StoredLogin(account, *(reply.get(name) or getattr(self.login, name) for name in _NAMES))
        if login != self.login:
            self.login = login
            self._write({"login": msgspec.json.encode(login)})

    def forget(self) -> None:
        """Forget the login after a logout. The store still belongs to the account."""
        self.login = StoredLogin(self.login.account)
        self._write({"login": msgspec.json.encode(self.login)})

    async def log_in(self, connection: NativeConnection) -> None:
        """Log in with the token, on a new connection. Raises CommandRejected."""
        await self.keep_fresh(connection)
        before = self.login.token
        try:
            reply = await self._by_token(connection)
        except CommandLost:
            raise
        except CommandRejected as error:
            if error.code != "unauthenticated" or not self.login.refresh:
                raise
            await self.refresh(connection, before)
            reply = await self._by_token(connection)
        self.take(reply)

    async def _by_token(self, connection: NativeConnection) -> Members:
        return await connection.request("token", {"token": self.login.token, "overtaking": True})

    async def keep_fresh(self, connection: NativeConnection) -> None:
        """Replace the token if it expires soon. Raises CommandRejected."""
        if self.login.refresh and self.server_time() + _MARGIN_MS >= self.login.expires:
            await self.refresh(connection, self.login.token)

    async def refresh(self, connection: NativeConnection, previous: str) -> None:
        """Replace a token, unless it was replaced meanwhile. Raises CommandRejected."""
        async with self._refreshing:
            if self.login.token == previous:
                self.take(await connection.repeat("refresh", {"refresh": self.login.refresh}))


_NAMES = ("token", "expires", "refresh")
