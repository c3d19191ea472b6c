"""HTTP requests to addresses that users name: looks up the name once, checks every found address, and connects to a
checked one. A certificate is verified for the name. Nothing of the environment (proxies) has an effect."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from typing import NamedTuple

import h11

from shared.contract.errors import RequestError
from shared.outgoing_addresses import AddressRules, IpAddress, OutgoingAddress
from shared.telemetry import log

_log = log(__name__)

_HEAD_BYTES = 16 * 1024
_READ_BYTES = 64 * 1024
_UNREACHABLE = "the address cannot be reached"
"""The one text for a name that does not exist, does not answer, or leads to a forbidden address: users see it, and
would learn by several texts which internal names exist."""
_LOOKUPS = 4
"""The number of lookups at once, for each request: a hanging lookup ends later than its request, and lookups of other
requests do not wait for it."""

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class OutgoingFailed(Exception):
    """The request got no response. The text can be shown to users."""


class OutgoingResponse(NamedTuple):
    """The names of headers are in lower case."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


class OutgoingHttp:
    """Each request has a connection of its own, and `seconds` from the lookup of the name on. `at_once`: requests."""

    def __init__(
        self, rules: AddressRules, seconds: float, at_once: int, context: ssl.SSLContext | None = None
    ) -> None:
        self._rules = rules
        self._seconds = seconds
        self._context = context
        self._threads = ThreadPoolExecutor(_LOOKUPS * at_once, "lookup")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"", *, most_bytes: int = 0
    ) -> OutgoingResponse:
        """A redirect is an ordinary response: a caller that follows the redirect requests the new address, which is
        checked then. At most `most_bytes` of the body are read, and a longer body is a failure. With 0, nothing is
        read. Raises OutgoingFailed."""
        deadline = asyncio.get_running_loop().time() + self._seconds
        address, (reader, writer) = await self._reach(url, deadline)
        try:
            async with asyncio.timeout_at(deadline):
                http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
                writer.write(_request_bytes(http, method, address, headers, body))
                await writer.drain()
                return await _response(http, reader, most_bytes)
        except TimeoutError as error:
            raise OutgoingFailed("no response in time") from error
        except h11.RemoteProtocolError as error:
            raise OutgoingFailed("no response of HTTP") from error
        except OSError as error:
            raise OutgoingFailed("the connection broke") from error
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _reach(self, url: str, deadline: float) -> tuple[OutgoingAddress, _Streams]:
        """Raises OutgoingFailed; only the log has the reason."""
        try:
            address = self._rules.check_endpoint(url)
        except RequestError as error:
            _log.info("an outgoing request is not permitted", reason=repr(error))
            raise OutgoingFailed(_UNREACHABLE) from error
        try:
            async with asyncio.timeout_at(deadline):
                return address, await self._connect(address)
        except ssl.SSLCertVerificationError as error:
            raise OutgoingFailed("the server's certificate is not valid") from error
        except (OSError, ValueError) as error:
            _log.info("an outgoing request cannot reach its address", host=address.authority, reason=repr(error))
            raise OutgoingFailed(_UNREACHABLE) from error

    async def _connect(self, address: OutgoingAddress) -> _Streams:
        """Connects to the first address that answers. Raises OSError."""
        found = await self._look_up(address)
        if not found or not all(self._rules.is_permitted(one, is_encrypted=address.is_encrypted) for one in found):
            raise PermissionError("requests may not go to this address")
        context, name = (await self._verifying(), address.host) if address.is_encrypted else (None, None)
        for last, one in enumerate(found, 1 - len(found)):
            try:
                return await asyncio.open_connection(str(one), address.port, ssl=context, server_hostname=name)
            except ssl.SSLError:
                raise
            except OSError:
                if last == 0:
                    raise
        raise AssertionError("there is an address")

    async def _verifying(self) -> ssl.SSLContext:
        """The context, made by the first request that needs one: OpenSSL and its authorities take 10 MiB."""
        if self._context is None:
            make = ssl.create_default_context
            self._context = await asyncio.get_running_loop().run_in_executor(self._threads, make)
        return self._context

    async def _look_up(self, address: OutgoingAddress) -> Sequence[IpAddress]:
        """IPv4 first: where IPv6 leads nowhere, it would use up the time. Raises OSError."""
        look_up = partial(socket.getaddrinfo, address.host, address.port, type=socket.SOCK_STREAM)
        rows = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        found = {ip_address(row[4][0]) for row in rows}
        return sorted(found, key=lambda one: (one.version, int(one)))


def _request_bytes(
    http: h11.Connection, method: str, address: OutgoingAddress, headers: Mapping[str, str], body: bytes
) -> bytes:
    fields = {
        "Host": address.authority,
        "User-Agent": "Dragoman",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **headers,
    }
    request = h11.Request(method=method, target=address.target, headers=list(fields.items()))
    parts = [http.send(event) for event in (request, h11.Data(data=body), h11.EndOfMessage())]
    return b"".join(part for part in parts if part)


async def _response(http: h11.Connection, reader: asyncio.StreamReader, most_bytes: int) -> OutgoingResponse:
    """Raises OutgoingFailed, OSError, h11.RemoteProtocolError."""
    head, body = h11.Response(status_code=200, headers=[]), b""
    while True:
        match http.next_event():
            case h11.Response() as head:
                if not most_bytes:
                    break
            case h11.Data(data=data):
                body += data
                if len(body) > most_bytes:
                    raise OutgoingFailed("the response is too long")
            case h11.EndOfMessage():
                break
            case h11.NEED_DATA:
                http.receive_data(await reader.read(_READ_BYTES))
    return OutgoingResponse(head.status_code, list(head.headers), body)
