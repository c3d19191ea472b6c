"""The HTTP request of an outgoing hook, signed as Standard Webhooks says, and the status of its response. Pure."""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable

from services.session.service.hook_address import HookAddress
from shared.contract.ids import ChatId

_SECRET_PREFIX = "whsec_"  # noqa: S105
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)[ \r\n]")


def secret_of(key: bytes) -> str:
    """The form in which users get a key."""
    return _SECRET_PREFIX + base64.b64encode(key).decode()


def webhook_id(chat: ChatId, index: int) -> str:
    """The same for each attempt, and for a replay."""
    return f"{chat}.{index}"


def sign(secret: str, number: str, timestamp: int, body: bytes) -> str:
    """The header webhook-signature. `timestamp`: Unix seconds."""
    key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX))
    digest = hmac.digest(key, f"{number}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def signed_headers(secret: str, number: str, timestamp: int, body: bytes) -> dict[str, str]:
    return {
        "webhook-id": number,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, number, timestamp, body),
    }


def request_bytes(address: HookAddress, headers: dict[str, str], body: bytes) -> bytes:
    """A POST over a connection of its own."""
    fields = {
        "Host": address.authority,
        "User-Agent": "Dragoman",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **headers,
    }
    lines: Iterable[str] = (f"{name}: {value}" for name, value in fields.items())
    return "\r\n".join([f"POST {address.target} HTTP/1.1", *lines, "", ""]).encode("ascii") + body


def parse_status(line: bytes) -> int | None:
    """The status of a response by its first line; None if it is none of HTTP/1."""
    found = _STATUS_LINE.match(line)
    return int(found[1]) if found else None
