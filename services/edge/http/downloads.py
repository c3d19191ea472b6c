"""Serves pictures and files: `GET /media/<id>`, whole or a range, at the speed of the client."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import NamedTuple
from urllib.parse import quote

from services.edge.http.pages import not_allowed, not_found, text
from services.edge.http.ranges import ByteRange, RangeNotSatisfiable, parse_range
from services.edge.http.request import ClientDisconnected, Headers, HttpRequest
from services.edge.media import MediaService
from services.edge.media.mime_sniffing import PICTURES
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.model import Media

_PLAIN_IN_NAMES = "!#$&+^`|"
"""Characters that RFC 8187 leaves unescaped, beside letters, digits and those that `quote` never escapes."""


class DownloadPart(NamedTuple):
    """A response's head, and the range of the file that is its body."""

    status: int
    headers: Headers
    span: ByteRange


class Downloads:
    def __init__(self, media: MediaService) -> None:
        self._media = media

    async def serve(self, request: HttpRequest, id: str) -> None:
        """Raises ClientDisconnected."""
        if request.method not in ("GET", "HEAD"):
            return await request.respond(not_allowed("GET, HEAD"))
        if request.length != 0:
            return await request.respond(text(400, "A request for a file has no body.\n"))
        try:
            media = await self._media.find(id)
        except RequestError:
            return await _send_error(request, ErrorCode.UNAVAILABLE)
        if media is None:
            return await _send_error(request, ErrorCode.NOT_FOUND)
        part = download_part(media, request.headers, whole=request.method == "HEAD")
        if request.method == "HEAD" or part.status in (304, 416):
            await request.start_response(part.status, part.headers)
            return await request.write(b"", more=False)
        await request.until_disconnect(self._send(request, media, part))

    async def _send(self, request: HttpRequest, media: Media, part: DownloadPart) -> None:
        async with aclosing(self._media.read(media, *part.span)) as chunks:
            try:
                first = await anext(chunks, b"")
            except RequestError as error:
                return await _send_error(request, error.failure.code)
            await request.start_response(part.status, part.headers)
            await request.write(first, more=True)
            await _send_rest(request, chunks)


async def _send_rest(request: HttpRequest, chunks: AsyncIterator[bytes]) -> None:
    try:
        async for chunk in chunks:
            await request.write(chunk, more=True)
    except RequestError as error:
        raise ClientDisconnected from error  # after the head, only a broken connection can signal an error
    await request.write(b"", more=False)


async def _send_error(request: HttpRequest, code: ErrorCode) -> None:
    if code is ErrorCode.NOT_FOUND:
        return await request.respond(not_found())
    await request.respond(text(503, "Files cannot be read just now.\n", {"Retry-After": "5"}))


def download_part(media: Media, headers: Headers, *, whole: bool) -> DownloadPart:
    """The response to a request for a file (RFC 9110, sections 13 and 14). `whole`: ignore ranges. Pure."""
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
    """Browsers display harmless pictures and save all other files (RFC 6266), under a name in any script (RFC 8187)."""
    kind = "inline" if media.mime in PICTURES else "attachment"
    return f"{kind}; filename*=UTF-8''{quote(media.name, safe=_PLAIN_IN_NAMES)}"


def _matches(if_none_match: str, tag: str) -> bool:
    """Weak comparison suffices: the tag is the hash of the content."""
    tags = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return tag in tags or "*" in tags
