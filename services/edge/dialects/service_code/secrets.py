"""A client's own secret and the server's tokens: both are in the member `token`, as a number or as text."""

import hashlib
import hmac
import re

from services.edge.dialects.base import DecodeError
from shared.contract.errors import ErrorCode

_BYTES = 4096
"""No token is longer; auth limits secrets."""
_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
"""A JWT: its header is a JSON object."""


def credential_text(credential: int | str) -> str:
    """A number is the same secret as its decimal digits. Raises DecodeError."""
    text = str(credential)
    if len(text.encode()) > _BYTES:
        raise DecodeError(f"`token` has at most {_BYTES} bytes", ErrorCode.TOO_LARGE)
    return text


def is_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None


class ConnectionSecret:
    """The secret that a connection logged in with: its digest, because it is only compared."""

    def __init__(self, secret: str = "") -> None:
        self._digest = _digest(secret) if secret else b""

    def matches(self, text: str) -> bool:
        return bool(self._digest) and hmac.compare_digest(self._digest, _digest(text))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
