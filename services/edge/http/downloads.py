"""Serves pictures and files by `GET /media/<id>`, whole or a range (RFC 9110, section 14), as fast as the client
reads."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import NamedTuple
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from services.edge.http.request import body_length
from services.edge.http.responses import not_found
from services.edge.media import MediaService
from services.edge.media.mime_sniffing import SHOWN
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.model import Media

_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.IGNORECASE)
_PLAIN_IN_NAMES = "!#$&+^`|"
"""The characters that RFC 8187 leaves unescaped, in addition to letters, digits and the characters that `quote` never
escapes."""


class RangeNotSatisfiable(Exception):
    """The range contains no byte of the file."""


class ByteRange(NamedTuple):
    """The bytes from `start` up to `stop`, without the byte at `stop`."""

    start: int
    stop: int


class DownloadPart(NamedTuple):
    """The head of a response, and the range of the file that is its body."""

    status: int
    headers: Mapping[str, str]
    span: ByteRange


class Downloads:
    def __init__(self, media: MediaService) -> None:
        self._media = media

    async def respond(self, request: Request) -> Response:
        if body_length(request.headers) != 0:
            return PlainTextResponse("A request for a file has no body.\n", 400)
        try:
            media = await self._media.find(request.path_params["id"])
        except RequestError:
            return _unavailable()
        if media is None:
            return not_found()
        part = download_part(media, request.headers, whole=request.method == "HEAD")
        if request.method == "HEAD" or part.status in (304, 416):
            return Response(None, part.status, part.headers)
        chunks = self._media.read(media, *part.span)
        try:
            first = await anext(chunks, b"")
        except RequestError as error:
            return not_found() if error.failure.code is ErrorCode.NOT_FOUND else _unavailable()
        return StreamingResponse(_content(first, chunks), part.status, part.headers)


async def _content(first: bytes, chunks: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    async with aclosing(chunks):
        yield first
        try:
            async for chunk in chunks:
                yield chunk
        except RequestError as error:
            # The head of the response is sent. So the only way to report the error is to break the connection.
            raise ClientDisconnect from error


def _unavailable() -> Response:
    return PlainTextResponse("Files cannot be read just now.\n", 503, {"Retry-After": "5"})


def download_part(media: Media, headers: Mapping[str, str], *, whole: bool) -> DownloadPart:
    """The response to a request for a file (RFC 9110, sections 13 and 14). `whole`: whether to ignore ranges. This
    function is pure."""
    tag = f'"{media.sha256}"'
    fields = {
        "ETag": tag,
        "Cache-Control": "private, max-age=31536000, immutable",
        "Accept-Ranges": "bytes",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Content-Disposition": disposition(media),
    }
    if _matches(headers.get("if-none-match", ""), tag):
        return DownloadPart(304, fields, ByteRange(0, 0))
    try:
        partial = (
            None if whole or headers.get("if-range", tag) != tag else parse_range(headers.get("range", ""), media.size)
        )
    except RangeNotSatisfiable:
        return DownloadPart(
            416, fields | {"Content-Range": f"bytes */{media.size}", "Content-Length": "0"}, ByteRange(0, 0)
        )
    start, stop = partial or ByteRange(0, media.size)
    fields |= {"Content-Type": media.mime, "Content-Length": str(stop - start)}
    if partial is None:
        return DownloadPart(200, fields, ByteRange(start, stop))
    return DownloadPart(206, fields | {"Content-Range": f"bytes {start}-{stop - 1}/{media.size}"}, partial)


def disposition(media: Media) -> str:
    """The header by which browsers display harmless pictures, play videos and sounds, and save all other files (RFC
    6266). The file's name may be in any script (RFC 8187)."""
    kind = "inline" if media.mime in SHOWN else "attachment"
    return f"{kind}; filename*=UTF-8''{quote(media.name, safe=_PLAIN_IN_NAMES)}"


def _matches(if_none_match: str, tag: str) -> bool:
    """Whether the tag is one of the tags that the client has. A weak comparison suffices, because the tag is the hash
    of the content."""
    tags = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return tag in tags or "*" in tags


def parse_range(header: str, size: int) -> ByteRange | None:
    """Parse a Range header. The result is None (the whole file) if the header is invalid or has several ranges. Raises
    RangeNotSatisfiable."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        selected = ByteRange(max(0, size - int(match[2])), size)
    else:
        last = int(match[2]) if match[2] else size - 1
        if match[2] and last < int(match[1]):
            return None
        selected = ByteRange(int(match[1]), min(last + 1, size))
    if selected.start >= selected.stop:
        raise RangeNotSatisfiable
    return selected
