"""Transactions that are carried out once, however often their request is repeated: each stores its result under the
request's nonce, and a repetition gets this result."""

import hashlib
import hmac
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar, TypeVarTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from shared.clock import now_ms
from shared.contract.errors import ErrorCode, Failure, Reason, RequestError
from shared.request_nonce import request_content, request_nonce

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

KEPT_MS = 10 * 60_000
"""Clients may repeat their commands for this time, and edges for seconds."""
NONCE_USED = Failure(ErrorCode.CONFLICT, "another command of yours has this nonce", "nonce", reason=Reason.NONCE_USED)


def request_table(name: str, metadata: sa.MetaData) -> sa.Table:
    """The results of requests that are carried out. `nonce`: its sha256 in hex; `created`: Unix milliseconds."""
    created = sa.Column("created", sa.BigInteger, nullable=False, index=True)
    key, result = sa.Column("nonce", sa.String, primary_key=True), sa.Column("result", sa.LargeBinary, nullable=False)
    return sa.Table(name, metadata, key, created, result)


class _Attempt(NamedTuple):
    """`key`, `content`: digests of the nonce, from which some secrets are derived, and of the request."""

    key: str
    content: bytes


def once(
    table: sa.Table, step: Callable[[sa.Connection, *Ts], T], kinds: tuple[Any, ...], part: str = ""
) -> Callable[[sa.Connection, *Ts], T]:
    """The step of the request that is handled now. The step raises RequestError if another request has had this nonce.
    `table`: a request_table. `kinds`: the types that the result may have. Replicas of the previous version read them:
    tests/unit/shared/test_stored_results.py has the rule. `part`: distinguishes the steps of a request that has
    several."""
    if not request_nonce.get():
        return step
    attempt = _attempt(part)

    def run(connection: sa.Connection, *args: *Ts) -> T:
        """The step claims the row first: another attempt that runs now waits for the end of this attempt. A step that
        raises leaves no row."""
        dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
        claim = dialect.insert(table).values(nonce=attempt.key, created=now_ms(), result=b"").on_conflict_do_nothing()
        if connection.execute(claim.returning(table.c.nonce)).one_or_none() is None:
            first: T = _read(connection, table, kinds, attempt)
            return first
        result = step(connection, *args)
        stored = _encode(result, kinds, attempt.content)
        connection.execute(sa.update(table).where(table.c.nonce == attempt.key).values(result=stored))
        return result

    return run


def stored(table: sa.Table, kinds: tuple[Any, ...], part: str = "") -> Callable[[sa.Connection], Any]:
    """The result of an earlier attempt at the present request; None if there is none. Raises RequestError as `once`."""
    return partial(_read, table=table, kinds=kinds, attempt=_attempt(part))


def purge(connection: sa.Connection, table: sa.Table) -> None:
    connection.execute(sa.delete(table).where(table.c.created < now_ms() - KEPT_MS))


def _read(connection: sa.Connection, table: sa.Table, kinds: tuple[Any, ...], attempt: _Attempt) -> Any:
    found = connection.execute(sa.select(table.c.result).where(table.c.nonce == attempt.key)).scalar_one_or_none()
    return None if found is None else _decode(found, kinds, attempt.content)


def _attempt(part: str) -> _Attempt:
    nonce = request_nonce.get().encode()
    key = hashlib.sha256(nonce + part.encode()).hexdigest()
    return _Attempt(key, hmac.digest(nonce, _content(), "sha256"))


def _content() -> bytes:
    """The content of the current request without its connection, because a client repeats a command on a new
    connection."""
    subject, _, payload = request_content.get().partition(b" ")
    fields = msgspec.msgpack.decode(payload, type=dict[str, msgspec.Raw]) if payload else {}
    fields.pop("origin", None)
    return subject + b" " + msgspec.msgpack.encode(fields)


def _encode(result: object, kinds: tuple[Any, ...], content: bytes) -> bytes:
    """The result with the position of its type, because several types may look alike in msgpack."""
    position = 0 if len(kinds) == 1 else next(at for at, kind in enumerate(kinds) if isinstance(result, kind))
    return msgspec.msgpack.encode((position, result, content))


def _decode(stored: bytes, kinds: tuple[Any, ...], content: bytes) -> Any:
    position, result, first = msgspec.msgpack.decode(stored, type=tuple[int, msgspec.Raw, bytes])
    if first != content:
        raise RequestError.from_failure(NONCE_USED)
    if position >= len(kinds):
        raise RequestError(ErrorCode.UNAVAILABLE, "a newer version has carried this command out, please try again")
    return msgspec.msgpack.decode(result, type=kinds[position])
