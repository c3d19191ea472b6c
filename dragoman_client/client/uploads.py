"""Uploads a file by tus 1.0 (docs/build/uploads.md). Bytes that the server has received are not sent again."""

import asyncio
import base64
import http.client
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, NamedTuple, NotRequired, TypedDict
from urllib.parse import quote, urlsplit

import msgspec

from dragoman_client.client.connection import CommandRejected, spread, unavailable

_PIECE_BYTES = 8 << 20
_READ_BYTES = 64 << 10
_SECONDS = 30.0
"""The time within which the server must accept some bytes, or answer."""
_FAILURES = 10
"""The most attempts in succession without progress."""
_RETRY_SECONDS = (0.5, 30.0)
_TUS = {"Tus-Resumable": "1.0.0", "Accept": "application/json"}
_CONTENT_TYPE = "application/offset+octet-stream"
_GONE = (404, 410)


class UploadedFile(TypedDict):
    """A stored file. `id` is needed in a segment of a message. `hash`: the sha256 in hex."""

    url: str
    name: str
    size: int
    hash: str
    mime: str
    id: str
    width: NotRequired[int]
    height: NotRequired[int]


class _Response(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class FileUpload:
    """`progress` gets the number of sent bytes, and the number of all bytes. `nonce`: if an earlier program has begun
    an upload with this nonce, the upload continues."""

    def __init__(self, server: str, path: Path, name: str, nonce: str, progress: Callable[[int, int], None]) -> None:
        place = urlsplit(server)
        if place.scheme not in ("ws", "wss"):
            raise CommandRejected("invalid", "files go to a server by ws:// or wss://")
        self._kind = http.client.HTTPSConnection if place.scheme == "wss" else http.client.HTTPConnection
        self._host = place.netloc
        self._path = path
        self._size = path.stat().st_size
        self._progress = progress
        self._creation = f"/media/uploads?nonce={quote(nonce)}"
        self._metadata = f"filename {base64.b64encode((name or path.name).encode()).decode()}"
        self._address = ""
        self._offset = 0
        self._is_cancelled = False

    async def send(self, token: Callable[[], str]) -> UploadedFile:
        """Upload until the file is stored. `token`: a function that returns the current token. Raises
        CommandRejected."""
        failures, before = 0, self._offset
        try:
            while True:
                used = token()
                try:
                    response = await asyncio.to_thread(self._step, used, asyncio.get_running_loop())
                    if response.status in (200, 201) and response.body:
                        file: UploadedFile = msgspec.json.decode(response.body)
                        return file
                except CommandRejected as error:
                    if error.code != "unauthenticated" or token() == used:
                        raise  # otherwise the token was replaced during the request
                except (OSError, http.client.HTTPException) as error:
                    failures = 0 if self._offset > before else failures + 1
                    if failures >= _FAILURES:
                        raise unavailable(f"the upload was interrupted: {error}") from error
                    first, last = _RETRY_SECONDS
                    await asyncio.sleep(spread(min(last, first * 2**failures)))
                before = self._offset
        finally:
            self._is_cancelled = True

    def _step(self, token: str, loop: asyncio.AbstractEventLoop) -> _Response:
        """Create the upload, or send the next piece. Raises OSError, HTTPException, CommandRejected."""
        if not self._address:
            metadata = {"Upload-Length": f"{self._size}", "Upload-Metadata": self._metadata, "Content-Length": "0"}
            created = _checked(self._request("POST", self._creation, token, metadata))
            self._address = created.headers["location"]
            return created
        state = self._request("HEAD", self._address, token, {})
        if state.status in _GONE:
            self._address = ""
            raise OSError("the upload has expired")
        self._offset = offset = int(_checked(state).headers["upload-offset"])
        size = min(_PIECE_BYTES, self._size - offset)
        headers = {"Upload-Offset": f"{offset}", "Content-Length": f"{size}", "Content-Type": _CONTENT_TYPE}
        with self._path.open("rb") as file:
            file.seek(offset)
            body = self._piece(file, offset, size, loop)
            return _checked(self._request("PATCH", self._address, token, headers, body))

    def _piece(self, file: BinaryIO, offset: int, size: int, loop: asyncio.AbstractEventLoop) -> Iterator[bytes]:
        sent = 0
        while sent < size:
            data = file.read(min(_READ_BYTES, size - sent))
            if self._is_cancelled or not data:
                raise OSError("the upload was cancelled, or the file has become shorter")
            yield data
            sent += len(data)
            if not self._is_cancelled:
                loop.call_soon_threadsafe(self._progress, offset + sent, self._size)

    def _request(
        self, method: str, path: str, token: str, headers: Mapping[str, str], body: Iterator[bytes] | None = None
    ) -> _Response:
        with closing(self._kind(self._host, timeout=_SECONDS)) as connection:
            connection.request(method, path, body, {**_TUS, "Authorization": f"Bearer {token}", **headers})
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return _Response(response.status, headers, response.read())


def _checked(response: _Response) -> _Response:
    """Check a response. Raises OSError if a later attempt may succeed, and CommandRejected otherwise."""
    status = response.status
    if status < 300:
        return response
    if status in (408, 409, 425, 429) or status >= 500:
        raise OSError(f"status {status}")
    try:
        error = msgspec.json.decode(response.body)
        raise CommandRejected(str(error["error"]), str(error["text"]))
    except (msgspec.DecodeError, KeyError, TypeError):
        raise CommandRejected("internal", f"the server answered the upload with status {status}") from None
