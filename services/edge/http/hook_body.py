"""The text of a message in the shape of Slack's incoming webhooks; pure."""

import codecs
from typing import Any
from urllib.parse import parse_qs

import msgspec

from services.edge.http.hook_blocks import attachment_lines, block_lines, plain
from shared.contract.errors import ErrorCode, RequestError

_FORM = "application/x-www-form-urlencoded"
_CHARSETS = {"iso-8859-1": "latin-1", "latin1": "latin-1", "windows-1252": "cp1252"}
"""Besides UTF-8, and UTF-16 with a byte order mark: what older programs send."""


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
