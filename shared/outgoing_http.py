"""HTTP requests to addresses that users choose. For each connection, the name is looked up once, every found address is
checked, and the connection goes to a checked address. The certificate must be valid for the name. Proxies in the
environment are ignored."""

import asyncio
import socket
import ssl
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from typing import NamedTuple, cast

import h11

from shared.contract.errors import RequestError
from shared.outgoing_addresses import AddressRules, IpAddress, OutgoingAddress
from shared.telemetry import log

_log = log(__name__)

_HEAD_BYTES = 16 * 1024
_LONGEST_SECONDS = 300.0
"""After this time, a connection is used for no further request, because its name may have other addresses by then."""
_UNREACHABLE = "the address cannot be reached"
"""The same text is used for a name that does not exist, a server that does not answer, and a forbidden address. Users
see this text. With different texts, they could find out which internal names exist."""
_MOST_PARTS = 10
"""The number of interim responses that may precede a response, and of parts of its body that are dropped. A receiver
can send tens of thousands of them at once, and their parsing would block the event loop."""
_LOOKUPS = 4
"""The number of threads for lookups, for each simultaneous request. A hanging lookup ends later than its request, and
lookups of other requests must not wait for it."""


class OutgoingFailed(Exception):
    """The request got no response. The text can be shown to users."""


class _Unanswered(OutgoingFailed):
    """The connection ended before a response began."""


class OutgoingResponse(NamedTuple):
    """The response to a request. The names of headers are in lower case."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


class _OutgoingConnection(asyncio.Protocol):
    """A connection to a checked address. It handles one request at a time, and is idle between requests. `destination`:
    the address without its target. The certificate was verified for its name."""

    def __init__(self, destination: OutgoingAddress) -> None:
        self.destination = destination
        self.is_open, self.is_answered = True, False
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
        self._loop = asyncio.get_running_loop()
        self._opened = self._loop.time()
        self._changed = asyncio.Event()
        self._error: Exception | None = None
        self._expiry: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._expiry is not None:  # without a request, these data would be taken for the next response
            self.abort()
            return
        self.is_answered = True
        self._http.receive_data(data)
        self._changed.set()

    def eof_received(self) -> None:
        self.connection_lost(None)

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the receiver or this process has ended the connection."""
        self.is_open, self._error = False, error
        self._http.receive_data(b"")
        self._changed.set()

    def abort(self) -> None:
        self.is_open = False
        self._transport.abort()

    async def exchange(self, events: Iterable[h11.Event], most_bytes: int) -> OutgoingResponse:
        """Send a request and return the response. If `most_bytes` is 0, the body is not awaited. Raises OutgoingFailed,
        OSError, h11.RemoteProtocolError."""
        self.is_answered = False
        if not self.is_open:
            raise ConnectionResetError
        self._transport.write(b"".join(self._http.send(event) or b"" for event in events))
        for _ in range(_MOST_PARTS):
            if isinstance(head := await self._next(), h11.Response):
                break
        else:
            raise h11.RemoteProtocolError("too many interim responses")
        body = b""
        while most_bytes and not isinstance(event := await self._next(), h11.EndOfMessage):
            body += event.data if isinstance(event, h11.Data) else b""
            if len(body) > most_bytes:
                raise OutgoingFailed("the response is too long")
        return OutgoingResponse(head.status_code, list(head.headers), body)

    async def _next(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._changed.clear()
            await self._changed.wait()
            if self._error is not None:
                raise self._error
        return event

    def rest(self, seconds: float) -> bool:
        """Wait for another request, at most `seconds`. Returns False if the connection cannot be used again."""
        with suppress(h11.RemoteProtocolError):
            for _ in range(_MOST_PARTS):  # drop what has arrived of the body
                if not isinstance(self._http.next_event(), h11.Data):
                    break
        is_done = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        if not is_done or not self.is_open or self._http.trailing_data[0]:
            return False
        self._http.start_next_cycle()
        self._expiry = self._loop.call_later(seconds, self.abort)
        return True

    def resume(self) -> bool:
        """End the wait. Returns whether the connection can be used for another request."""
        assert self._expiry is not None
        self._expiry.cancel()
        self._expiry = None
        return self.is_open and self._loop.time() - self._opened < _LONGEST_SECONDS


class _IdleConnections:
    """The connections that wait for another request to their destination. Those that have waited longest come first.
    There are at most `most`, and half as many for one destination."""

    def __init__(self, seconds: float, most: int) -> None:
        self._seconds = seconds
        self._most = most
        self._waiting: list[_OutgoingConnection] = []

    def take(self, destination: OutgoingAddress) -> _OutgoingConnection | None:
        for one in [one for one in reversed(self._waiting) if one.destination == destination]:
            self._waiting.remove(one)
            if one.resume():
                return one
            one.abort()
        return None

    def put(self, connection: _OutgoingConnection) -> None:
        """Keep the connection for further requests, or end it if it cannot be used again."""
        if not self._seconds or not connection.rest(self._seconds):
            connection.abort()
            return
        self._waiting = [one for one in self._waiting if one.is_open]
        same = [one for one in self._waiting if one.destination == connection.destination]
        if len(same) >= max(1, self._most // 2):
            self._end(same[0])
        elif len(self._waiting) >= self._most:
            self._end(self._waiting[0])
        self._waiting.append(connection)

    def _end(self, connection: _OutgoingConnection) -> None:
        self._waiting.remove(connection)
        connection.resume()
        connection.abort()

    def close(self) -> None:
        self._seconds = 0.0
        for one in [*self._waiting]:
            self._end(one)


class OutgoingHttp:
    """Sends requests. A request may take `seconds`, including the lookup of the name. `at_once`: the number of
    simultaneous requests. A connection waits `idle_seconds` for another request to the same destination; if it is 0,
    each request has its own connection."""

    def __init__(
        self,
        rules: AddressRules,
        seconds: float,
        at_once: int,
        context: ssl.SSLContext | None = None,
        *,
        idle_seconds: float = 0.0,
    ) -> None:
        self._rules = rules
        self._seconds = seconds
        self._context = context
        self._threads = ThreadPoolExecutor(_LOOKUPS * at_once, "lookup")
        self._idle = _IdleConnections(idle_seconds, at_once)
        self._fields = {"User-Agent": "Dragoman"} | ({} if idle_seconds else {"Connection": "close"})

    def close(self) -> None:
        self._idle.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"", *, most_bytes: int = 0
    ) -> OutgoingResponse:
        """Sends a request and returns the response. A redirect is returned as an ordinary response. To follow it, the
        caller makes a new request, whose address is checked again. At most `most_bytes` of the body are read, and a
        longer body is a failure. With 0, the body is not read. If an idle connection ends before it answers, the
        request is repeated on a new connection. Raises OutgoingFailed."""
        deadline = asyncio.get_running_loop().time() + self._seconds
        address = self._check(url)
        fields = {"Host": address.authority, "Content-Length": str(len(body)), **self._fields, **headers}
        request = h11.Request(method=method, target=address.target, headers=list(fields.items()))
        events = (request, h11.Data(data=body), h11.EndOfMessage())
        idle = self._idle.take(address._replace(target=""))
        if idle is not None:
            with suppress(_Unanswered):
                return await self._exchange(idle, events, most_bytes, deadline)
        return await self._exchange(await self._reach(address, deadline), events, most_bytes, deadline)

    async def _exchange(
        self, connection: _OutgoingConnection, events: Iterable[h11.Event], most_bytes: int, deadline: float
    ) -> OutgoingResponse:
        """Sends the request on this connection. Raises OutgoingFailed."""
        try:
            async with asyncio.timeout_at(deadline):
                response = await connection.exchange(events, most_bytes)
        except BaseException as error:
            connection.abort()
            failed = OutgoingFailed if connection.is_answered else _Unanswered
            match error:
                case TimeoutError():
                    raise OutgoingFailed("no response in time") from error
                case h11.RemoteProtocolError():
                    raise failed("no response of HTTP") from error
                case OSError():
                    raise failed("the connection broke") from error
            raise
        self._idle.put(connection)
        return response

    def _check(self, url: str) -> OutgoingAddress:
        """Checks the address. Raises OutgoingFailed without the reason, which only the log has."""
        try:
            return self._rules.check_endpoint(url)
        except RequestError as error:
            _log.info("an outgoing request is not permitted", reason=repr(error))
            raise OutgoingFailed(_UNREACHABLE) from error

    async def _reach(self, address: OutgoingAddress, deadline: float) -> _OutgoingConnection:
        """Connects to the address. Raises OutgoingFailed without the reason, which only the log has."""
        try:
            async with asyncio.timeout_at(deadline):
                return await self._connect(address, deadline)
        except ssl.SSLCertVerificationError as error:
            raise OutgoingFailed("the server's certificate is not valid") from error
        except (OSError, ValueError) as error:
            _log.info("an outgoing request cannot reach its address", host=address.authority, reason=repr(error))
            raise OutgoingFailed(_UNREACHABLE) from error

    async def _connect(self, address: OutgoingAddress, deadline: float) -> _OutgoingConnection:
        """Connects to the first address that answers. Each attempt but the last one may take half of the remaining
        time. Raises OSError."""
        found = await self._look_up(address)
        if not found or not all(self._rules.is_permitted(one, is_encrypted=address.is_encrypted) for one in found):
            raise PermissionError("requests may not go to this address")
        context, name = (await self._verifying(), address.host) if address.is_encrypted else (None, None)
        loop = asyncio.get_running_loop()
        make = partial(_OutgoingConnection, address._replace(target=""))
        for last, one in enumerate(found, 1 - len(found)):
            end = deadline if last == 0 else (loop.time() + deadline) / 2
            connect = loop.create_connection(make, str(one), address.port, ssl=context, server_hostname=name)
            try:
                async with asyncio.timeout_at(end):
                    _, connection = await connect
                return connection
            except ssl.SSLError:
                raise
            except OSError:
                if last == 0:
                    raise
        raise AssertionError("there is an address")

    async def _verifying(self) -> ssl.SSLContext:
        """The TLS context. The first request that needs it makes it, because OpenSSL and its authorities take 10
        MiB."""
        if self._context is None:
            make = ssl.create_default_context
            self._context = await asyncio.get_running_loop().run_in_executor(self._threads, make)
        return self._context

    async def _look_up(self, address: OutgoingAddress) -> Sequence[IpAddress]:
        """The addresses of the name, IPv4 first. If IPv6 does not work on this machine, attempts with it would use up
        the time. Raises OSError."""
        look_up = partial(socket.getaddrinfo, address.host, address.port, type=socket.SOCK_STREAM)
        rows = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        found = {ip_address(row[4][0]) for row in rows}
        return sorted(found, key=lambda one: (one.version, int(one)))
