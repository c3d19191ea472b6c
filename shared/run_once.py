"""Transactions that are carried out only once, even if their request is repeated. A transaction stores its result under
the request's nonce, and a repetition gets this result."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar, TypeVarTuple

import msgspec
import sqlalchemy as sa

from shared.clock import now_ms
from shared.contract.errors import ErrorCode, Failure, Reason, RequestError
from shared.request_nonce import request_content, request_nonce
from shared.sql import insert

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

KEPT_MS = 10 * 60_000
"""Results are stored for this time. Clients may repeat their commands for this time, and edges repeat requests for some
seconds."""
NONCE_USED = Failure(ErrorCode.CONFLICT, "another command of yours has this nonce", "nonce", reason=Reason.NONCE_USED)


def request_table(name: str, metadata: sa.MetaData) -> sa.Table:
    """The table of results of requests. `nonce`: the SHA-256 hash of the nonce in hex. `created`: Unix milliseconds."""
    created = sa.Column("created", sa.BigInteger, nullable=False, index=True)
    key, result = sa.Column("nonce", sa.String, primary_key=True), sa.Column("result", sa.LargeBinary, nullable=False)
    return sa.Table(name, metadata, key, created, result)


class _Attempt(NamedTuple):
    """The current attempt at a request. `key`: a hash of the nonce; the nonce itself is not stored, because secrets are
    derived from it. `content`: a hash of the request."""

    key: str
    content: bytes


@dataclass(frozen=True)
class RequestResults:
    """The results of a service's requests. `table`: made by `request_table`."""

    table: sa.Table

    def once(
        self, step: Callable[[sa.Connection, *Ts], T], *kinds: Any, part: str = ""
    ) -> Callable[[sa.Connection, *Ts], T]:
        """Returns the step, extended to store its result for the current request. The step raises RequestError if
        another request had the same nonce. `kinds`: the types that the result may have. Replicas of the previous
        version also read results; tests/unit/shared/test_stored_results.py has the rule for this. `part`:
        distinguishes the steps of a request that has several."""
        if not request_nonce.get():
            return step
        attempt = _attempt(part)

        def run(connection: sa.Connection, *args: *Ts) -> T:
            """Inserts the row before the step, so that another attempt at the same time waits for the end of this one.
            If the step raises an exception, the row is rolled back."""
            row = insert(connection, self.table).values(nonce=attempt.key, created=now_ms(), result=b"")
            claim = row.on_conflict_do_nothing().returning(self.table.c.nonce)
            if connection.execute(claim).one_or_none() is None:
                first: T = self._read(connection, kinds, attempt)
                return first
            result = step(connection, *args)
            stored = _encode(result, kinds, attempt.content)
            connection.execute(sa.update(self.table).where(self.table.c.nonce == attempt.key).values(result=stored))
            return result

        return run

    def stored(self, *kinds: Any) -> Callable[[sa.Connection], Any]:
        """The result of an earlier attempt at the current request; None if there is none. Raises RequestError if
        another request had the same nonce."""
        return partial(self._read, kinds=kinds, attempt=_attempt(""))

    def purge(self, connection: sa.Connection) -> None:
        connection.execute(sa.delete(self.table).where(self.table.c.created < now_ms() - KEPT_MS))

    def _read(self, connection: sa.Connection, kinds: tuple[Any, ...], attempt: _Attempt) -> Any:
        select = sa.select(self.table.c.result).where(self.table.c.nonce == attempt.key)
        found = connection.execute(select).scalar_one_or_none()
        return None if found is None else _decode(found, kinds, attempt.content)


def _attempt(part: str) -> _Attempt:
    nonce = request_nonce.get().encode()
    key = hashlib.sha256(nonce + part.encode()).hexdigest()
    return _Attempt(key, hmac.digest(nonce, _content(), "sha256"))


def _content() -> bytes:
    """The content of the current request without its connection, because a client may repeat a command on a new
    connection."""
    subject, _, payload = request_content.get().partition(b" ")
    fields = msgspec.msgpack.decode(payload, type=dict[str, msgspec.Raw]) if payload else {}
    fields.pop("origin", None)
    return subject + b" " + msgspec.msgpack.encode(fields)


def _encode(result: object, kinds: tuple[Any, ...], content: bytes) -> bytes:
    """The encoded result. It contains the position of its type in `kinds`, because different types can have the same
    form in msgpack."""
    position = 0 if len(kinds) == 1 else next(at for at, kind in enumerate(kinds) if isinstance(result, kind))
    return msgspec.msgpack.encode((position, result, content))


def _decode(stored: bytes, kinds: tuple[Any, ...], content: bytes) -> Any:
    position, result, first = msgspec.msgpack.decode(stored, type=tuple[int, msgspec.Raw, bytes])
    if first != content:
        raise RequestError.from_failure(NONCE_USED)
    if position >= len(kinds):
        raise RequestError(ErrorCode.UNAVAILABLE, "a newer version has carried this command out, please try again")
    return msgspec.msgpack.decode(result, type=kinds[position])
