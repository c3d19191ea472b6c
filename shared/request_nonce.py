"""The nonce of the request that is handled now: all attempts at one request have the same one, and the same content."""

import secrets
from contextvars import ContextVar

request_nonce: ContextVar[str] = ContextVar("request_nonce", default="")
"""Empty: the request has none, because its repetition does no harm or is not made."""
request_content: ContextVar[bytes] = ContextVar("request_content", default=b"")
"""The subject and the payload."""


def new_nonce() -> str:
    """256 random bits."""
    return secrets.token_hex(32)
