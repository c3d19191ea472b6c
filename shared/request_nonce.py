"""The nonce of the request that is handled now: all attempts at one request have the same one, and the same content."""

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeVar

from shared.contract.errors import RequestError
from shared.contract.ids import AccountId
from shared.transactions import Transactions

T = TypeVar("T")
R = TypeVar("R")

request_nonce: ContextVar[str] = ContextVar("request_nonce", default="")
"""Empty: the request has none, because its repetition does no harm or is not made."""
request_content: ContextVar[bytes] = ContextVar("request_content", default=b"")
"""The subject and the payload."""


def new_nonce() -> str:
    """256 random bits."""
    return secrets.token_hex(32)


def request_nonce_of(actor: AccountId, name: str) -> str:
    """Of a request to which the account may have given a name: then the same one at each edge."""
    return hashlib.sha256(f"{actor} {name}".encode()).hexdigest() if name else new_nonce()


async def stored_or(
    database: Transactions, find: Callable[[Any], T | None], carry_out: Callable[[], Awaitable[R]]
) -> T | R:
    """What `find` (see shared.run_once.stored) reads, else what `carry_out` returns: a repetition is not checked
    against limits, secrets and names, which its first attempt has used. An attempt that another one overtakes is
    rejected for what that one has done: then it returns that one's result."""
    if not request_nonce.get():
        return await carry_out()
    if (before := await database.read(find)) is not None:
        return before
    try:
        return await carry_out()
    except RequestError:
        if (meanwhile := await database.read(find)) is None:
            raise
        return meanwhile


def derived(salt: bytes, purpose: bytes) -> bytes:
    """32 secret bytes: the same ones for the same salt, which may be stored, and the same nonce of the request. Who
    reads the salt lacks the nonce, and who knows a client's nonce lacks the salt."""
    return hmac.digest(salt, purpose + request_nonce.get().encode(), "sha256")
