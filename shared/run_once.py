"""Transactions that are carried out once, however often their request is repeated: each stores its result under the
request's nonce, and a repetition gets that."""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from shared.clock import now_ms
from shared.request_nonce import request_nonce

T = TypeVar("T")

KEPT_MS = 10 * 60_000
"""No request is repeated for so long."""


def once(table: sa.Table, step: Callable[[sa.Connection], T], kinds: tuple[Any, ...]) -> Callable[[sa.Connection], T]:
    """The step of the request that is handled now. `table`: with the columns `nonce`, which is its key, `created` (Unix
    milliseconds) and `result`. `kinds`: the types that the result may have."""
    if not (nonce := request_nonce.get()):
        return step
    return partial(_run, table=table, step=step, kinds=kinds, key=_key(nonce))


def stored(table: sa.Table, kind: type[T]) -> Callable[[sa.Connection], T | None]:
    """Reads the result of a former attempt at the request that is handled now; None: there is none."""
    key = _key(request_nonce.get())
    return partial(_read, table=table, kinds=(kind,), key=key)


def purge(connection: sa.Connection, table: sa.Table) -> None:
    connection.execute(sa.delete(table).where(table.c.created < now_ms() - KEPT_MS))


def _run(
    connection: sa.Connection, table: sa.Table, step: Callable[[sa.Connection], T], kinds: tuple[Any, ...], key: str
) -> T:
    """The row is claimed first: another attempt that runs now waits for this one's end. A step that raises leaves no
    row."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    claim = dialect.insert(table).values(nonce=key, created=now_ms(), result=b"").on_conflict_do_nothing()
    if connection.execute(claim.returning(table.c.nonce)).one_or_none() is None:
        first: T = _read(connection, table, kinds, key)
        return first
    result = step(connection)
    connection.execute(sa.update(table).where(table.c.nonce == key).values(result=_encode(result, kinds)))
    return result


def _read(connection: sa.Connection, table: sa.Table, kinds: tuple[Any, ...], key: str) -> Any:
    found = connection.execute(sa.select(table.c.result).where(table.c.nonce == key)).scalar_one_or_none()
    return None if found is None else _decode(found, kinds)


def _key(nonce: str) -> str:
    """A hash: some secrets are derived from the nonce."""
    return hashlib.sha256(nonce.encode()).hexdigest()


def _encode(result: object, kinds: tuple[Any, ...]) -> bytes:
    """With the position of its type: several of them may look alike in msgpack."""
    position = 0 if len(kinds) == 1 else next(at for at, kind in enumerate(kinds) if isinstance(result, kind))
    return msgspec.msgpack.encode((position, result))


def _decode(stored: bytes, kinds: tuple[Any, ...]) -> Any:
    position, result = msgspec.msgpack.decode(stored, type=tuple[int, msgspec.Raw])
    return msgspec.msgpack.decode(result, type=kinds[position])
