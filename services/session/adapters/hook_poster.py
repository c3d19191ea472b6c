"""Posts for outgoing hooks to addresses outside: looks up the name once, checks every address that it has, and connects
to a checked one. Redirects are not followed; of a response, its status alone is read."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from urllib.parse import urlsplit

from services.session.service.hook_address import AddressRules, HookAddress, IpAddress
from services.session.service.hook_request import parse_status, request_bytes
from services.session.service.hook_turns import places
from services.session.service.ports import PostFailed
from shared.contract.errors import RequestError
from shared.settings import OutgoingHookSettings
from shared.telemetry import log

_log = log(__name__)

_LINE_BYTES = 8 * 1024
_UNREACHABLE = "the address cannot be reached"
"""The one text for a name that there is not, that is not answered, or that leads to where hooks may not post: users see
it, and would learn by several texts which internal names there are."""
_GONE = 410
_LOOK_UPS = 4
"""At once, for each hook that is posted for at once: one that hangs ends later than the request that waits for it, and
those of other hooks do not wait for its end."""


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class HttpHookPoster:
    """Implements the port HookPoster. Each request has a connection of its own."""

    def __init__(self, settings: OutgoingHookSettings, context: ssl.SSLContext | None = None) -> None:
        self._rules = AddressRules(settings.permitted_networks)
        self._seconds = settings.timeout_seconds
        self._context = context or ssl.create_default_context()
        self._threads = ThreadPoolExecutor(_LOOK_UPS * places(settings.concurrent), "look-up")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def post(self, endpoint: str, headers: dict[str, str], body: bytes) -> None:
        """Raises PostFailed."""
        deadline = asyncio.get_running_loop().time() + self._seconds
        address, (reader, writer) = await self._reach(endpoint, deadline)
        try:
            async with asyncio.timeout_at(deadline):
                writer.write(request_bytes(address, headers, body))
                await writer.drain()
                status = await _read_status(reader)
        except TimeoutError as error:
            raise PostFailed("no response in time") from error
        except (OSError, ValueError) as error:
            raise PostFailed("the connection broke") from error
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        if not 200 <= status < 300:
            raise PostFailed(f"status {status}", is_gone=status == _GONE)

    async def _reach(self, endpoint: str, deadline: float) -> tuple[HookAddress, _Streams]:
        """Raises PostFailed; only the log has the reason."""
        try:
            async with asyncio.timeout_at(deadline):
                address = self._rules.check_endpoint(endpoint)
                return address, await self._connect(address)
        except ssl.SSLCertVerificationError as error:
            raise PostFailed("the certificate is not valid") from error
        except (OSError, ValueError, RequestError) as error:
            _log.info("outgoing hook reaches no address", host=urlsplit(endpoint).netloc, reason=repr(error))
            raise PostFailed(_UNREACHABLE) from error

    async def _connect(self, address: HookAddress) -> _Streams:
        """To the first address that answers. Raises OSError."""
        found = await self._look_up(address)
        if not found or not all(self._rules.is_permitted(one, is_encrypted=address.is_encrypted) for one in found):
            raise PermissionError("hooks may not post to this address")
        context, name = (self._context, address.host) if address.is_encrypted else (None, None)
        for last, one in enumerate(found, 1 - len(found)):
            try:
                return await asyncio.open_connection(
                    str(one), address.port, limit=_LINE_BYTES, ssl=context, server_hostname=name
                )
            except ssl.SSLError:
                raise
            except OSError:
                if last == 0:
                    raise
        raise AssertionError("there is an address")

    async def _look_up(self, address: HookAddress) -> Sequence[IpAddress]:
        """IPv4 first: where IPv6 leads nowhere, it would use up the time. Raises OSError."""
        look_up = partial(socket.getaddrinfo, address.host, address.port, type=socket.SOCK_STREAM)
        rows = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        found = {ip_address(row[4][0]) for row in rows}
        return sorted(found, key=lambda one: (one.version, int(one)))


async def _read_status(reader: asyncio.StreamReader) -> int:
    """The first status that is final. Raises PostFailed, OSError, ValueError for a line that is too long."""
    while (status := parse_status(await reader.readline())) is not None:
        if status >= 200:
            return status
        while (await reader.readline()).strip():
            pass
    raise PostFailed("no response of HTTP")
