"""`POST /hooks/SECRET`: a program without an account posts to a group, in the shape of Slack's incoming webhooks."""

import codecs
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from services.edge.http.hook_blocks import attachment_lines, block_lines, plain
from services.edge.http.request import read_body
from shared.contract.errors import ErrorCode, RequestError
from shared.settings import LimitsSettings

PostHook = Callable[[str, str, str], Awaitable[None]]
"""Posts for a hook's secret a text, under a key or "". Raises RequestError."""
_KEY_CHARACTERS = 255
_FORM = "application/x-www-form-urlencoded"
_CHARSETS = {"iso-8859-1": "latin-1", "latin1": "latin-1", "windows-1252": "cp1252"}
"""Besides UTF-8, and UTF-16 with a byte order mark: what older programs send."""


class HttpHooks:
    def __init__(self, post: PostHook, limits: LimitsSettings) -> None:
        self._post = post
        self._body_bytes = limits.text_frame_bytes

    async def respond(self, request: Request) -> Response:
        """`ok`, as Slack responds, once the message is committed. Raises ClientDisconnect, RequestError."""
        key = request.headers.get("idempotency-key", "")
        if len(key) > _KEY_CHARACTERS:
            raise RequestError(ErrorCode.INVALID, f"a key has at most {_KEY_CHARACTERS} characters", "Idempotency-Key")
        body = await read_body(request, self._body_bytes)
        text = text_of(request.headers.get("content-type", ""), body)
        await self._post(request.path_params["secret"], text, key)
        return PlainTextResponse("ok", headers={"Cache-Control": "no-store"})


def text_of(content_type: str, body: bytes) -> str:
    """`text`, and the texts of `blocks` and `attachments`. `text` is left out where these repeat it, as it is their
    summary for notifications then. Raises RequestError."""
    message = _object(content_type, body)
    text = message.get("text")
    if text is not None and not isinstance(text, str):
        raise RequestError(ErrorCode.INVALID, "`text` is a text", "text")
    lines = [*block_lines(message.get("blocks")), *attachment_lines(message.get("attachments"))]
    rest = "\n".join(line for line in lines if line.strip())
    first = plain(text or "")
    parts = [rest] if _compact(first) in _compact(rest) else [first, rest]
    shown = "\n".join(part for part in parts if part.strip()).replace("\0", "").strip()
    if not shown:
        raise RequestError(ErrorCode.INVALID, "the message has no text", "text")
    return shown


def _compact(text: str) -> str:
    return "".join(text.split())


def _object(content_type: str, body: bytes) -> dict[str, Any]:
    """Raises RequestError."""
    kind, _, parameters = content_type.lower().partition(";")
    try:
        text = _decode(body, parameters)
        if kind.strip() == _FORM:
            text = parse_qs(text, errors="strict", max_num_fields=16).get("payload", [""])[0]
        return msgspec.json.decode(text, type=dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise RequestError(ErrorCode.INVALID, "the body is a JSON object, or a form with one in `payload`") from error


def _decode(body: bytes, parameters: str) -> str:
    """Raises ValueError."""
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return body.decode("utf-16")
    _, _, charset = parameters.partition("charset=")
    return body.decode(_CHARSETS.get(charset.partition(";")[0].strip(' "'), "utf-8-sig"))
