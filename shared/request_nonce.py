"""The nonce of the request that is handled now. All attempts at one request have the same nonce and the same
content."""

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
"""Empty: the request has no nonce, because it is never repeated, or its repetition is harmless."""
request_content: ContextVar[bytes] = ContextVar("request_content", default=b"")
"""The subject and the payload."""


def new_nonce() -> str:
    """256 random bits."""
    return secrets.token_hex(32)


def request_nonce_of(actor: AccountId, name: str) -> str:
    """The nonce of a request. If the account has given the request a name, it is the same at each edge."""
    return hashlib.sha256(f"{actor} {name}".encode()).hexdigest() if name else new_nonce()


async def stored_or(
    database: Transactions, find: Callable[[Any], T | None], carry_out: Callable[[], Awaitable[R]]
) -> T | R:
    """The result of `find` (see shared.run_once.stored), else of `carry_out`: a repetition is not checked against
    limits, secrets and names, which the first attempt has used. An attempt that another attempt overtakes is rejected
    because of the other's effects: then it returns the other's result."""
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
    """32 secret bytes, always the same for the same salt (which may be stored) and the same nonce of the request. A
    reader of the salt does not know the nonce, and a user who knows a client's nonce does not know the salt."""
    return hmac.digest(salt, purpose + request_nonce.get().encode(), "sha256")
