"""The nonce of the request that is being handled. All attempts at one request have the same nonce and the same
content."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from shared.contract.errors import RequestError
from shared.contract.ids import AccountId
from shared.transactions import Transactions

T = TypeVar("T")
R = TypeVar("R")

request_nonce: ContextVar[str] = ContextVar("request_nonce", default="")
"""The nonce of the current request. It is empty if the request is never repeated, or if its repetition does no harm."""
request_content: ContextVar[bytes] = ContextVar("request_content", default=b"")
"""The subject and the payload of the current request."""


def new_nonce() -> str:
    """A new nonce: 256 random bits."""
    return secrets.token_hex(32)


def request_nonce_of(actor: AccountId, name: str) -> str:
    """The nonce of a request. If the account has named the request, each edge makes the same nonce from the name."""
    return hashlib.sha256(f"{actor} {name}".encode()).hexdigest() if name else new_nonce()


_attempts = WeakValueDictionary[tuple[Transactions, str], asyncio.Lock]()
"""The lock of each request that is being carried out, by its database and its nonce."""


async def stored_or(
    database: Transactions, find: Callable[[Any], T | None], carry_out: Callable[[], Awaitable[R]]
) -> T | R:
    """Returns the stored result of an earlier attempt (`find`, see shared.run_once). If there is none, returns
    the result of `carry_out`. So a repetition is not checked again against limits, secrets and names, which the first
    attempt has already used. An attempt waits for the end of an earlier one in this process, because both would compute
    hashes. If another process carries out an attempt at the same time, `carry_out` may be rejected because of its
    effects. In this case, the result of the other attempt is returned."""
    if not (nonce := request_nonce.get()):
        return await carry_out()
    async with _attempts.setdefault((database, nonce), asyncio.Lock()):
        if (before := await database.read(find)) is not None:
            return before
        try:
            return await carry_out()
        except RequestError:
            if (meanwhile := await database.read(find)) is None:
                raise
            return meanwhile


def derived(salt: bytes, purpose: bytes) -> bytes:
    """32 secret bytes, derived from a salt and the nonce of the current request. The same salt and nonce always give
    the same bytes. The salt may be stored: a reader of the salt does not know the nonce, and a user who knows the nonce
    does not know the salt."""
    return hmac.digest(salt, purpose + request_nonce.get().encode(), "sha256")
