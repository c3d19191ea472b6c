"""Pictures and files by their addresses: `GET /media/<id>`, whole or a range, as fast as the client reads."""

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
"""What RFC 8187 leaves as it is, beside letters, digits and what `quote` never touches."""


class DownloadPart(NamedTuple):
    """An answer's head, and the bytes of the file that go with it."""

    status: int
    headers: Headers
    span: ByteRange


class Downloads:
    def __init__(self, room: MediaService) -> None:
        self._room = room

    async def serve(self, exchange: HttpRequest, id: str) -> None:
        """Raises Gone."""
        if exchange.method not in ("GET", "HEAD"):
            return await exchange.answer(not_allowed("GET, HEAD"))
        try:
            media = await self._room.find(id)
        except RequestError:
            return await _refuse(exchange, ErrorCode.UNAVAILABLE)
        if media is None:
            return await _refuse(exchange, ErrorCode.NOT_FOUND)
        part = part_of(media, exchange.headers, whole=exchange.method == "HEAD")
        if exchange.method == "HEAD" or part.status in (304, 416):
            await exchange.open(part.status, part.headers)
            return await exchange.write(b"", more=False)
        await exchange.until_disconnect(self._send(exchange, media, part))

    async def _send(self, exchange: HttpRequest, media: Media, part: DownloadPart) -> None:
        async with aclosing(self._room.read(media, *part.span)) as chunks:
            try:
                first = await anext(chunks, b"")
            except RequestError as refusal:
                return await _refuse(exchange, refusal.failure.code)
            await exchange.open(part.status, part.headers)
            await exchange.write(first, more=True)
            await _pass_on(exchange, chunks)


async def _pass_on(exchange: HttpRequest, chunks: AsyncIterator[bytes]) -> None:
    try:
        async for chunk in chunks:
            await exchange.write(chunk, more=True)
    except RequestError as refusal:
        raise ClientDisconnected from refusal  # half of it is sent: only a broken connection says that there is no more
    await exchange.write(b"", more=False)


async def _refuse(exchange: HttpRequest, code: ErrorCode) -> None:
    if code is ErrorCode.NOT_FOUND:
        return await exchange.answer(not_found())
    await exchange.answer(text(503, "Files cannot be read just now.\n", {"Retry-After": "5"}))


def part_of(media: Media, asked: Headers, *, whole: bool) -> DownloadPart:
    """What is to be sent of a file: RFC 9110, sections 13 and 14; `whole`: ranges do not count. Pure."""
    tag = f'"{media.sha256}"'
    headers = {
        "ETag": tag,
        "Cache-Control": "private, max-age=31536000, immutable",
        "Accept-Ranges": "bytes",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Content-Disposition": disposition(media),
    }
    if _known(asked.get("if-none-match", ""), tag):
        return DownloadPart(304, headers, ByteRange(0, 0))
    try:
        partial = (
            None if whole or asked.get("if-range", tag) != tag else parse_range(asked.get("range", ""), media.size)
        )
    except RangeNotSatisfiable:
        return DownloadPart(
            416, headers | {"Content-Range": f"bytes */{media.size}", "Content-Length": "0"}, ByteRange(0, 0)
        )
    start, stop = partial or ByteRange(0, media.size)
    headers |= {"Content-Type": media.mime, "Content-Length": str(stop - start)}
    if partial is None:
        return DownloadPart(200, headers, ByteRange(start, stop))
    return DownloadPart(206, headers | {"Content-Range": f"bytes {start}-{stop - 1}/{media.size}"}, partial)


def disposition(media: Media) -> str:
    """A browser shows harmless pictures and saves all else (RFC 6266), under a name in any script (RFC 8187)."""
    kind = "inline" if media.mime in PICTURES else "attachment"
    return f"{kind}; filename*=UTF-8''{quote(media.name, safe=_PLAIN_IN_NAMES)}"


def _known(if_none_match: str, tag: str) -> bool:
    """Weakly compared: a tag is the content's own hash."""
    tags = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return tag in tags or "*" in tags
