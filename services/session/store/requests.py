"""Stores the results of requests, so that a repeated request gets the same result."""

from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

import sqlalchemy as sa

from services.session.tables import request
from shared import run_once

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def once(step: Callable[[sa.Connection, *Ts], T], *kinds: Any) -> Callable[[sa.Connection, *Ts], T]:
    """See shared.run_once."""
    return run_once.once(request, step, kinds)


def stored(kind: type[T]) -> Callable[[sa.Connection], T | None]:
    """The result that an earlier attempt at the current request has stored; None if there is no such result."""
    return run_once.stored(request, (kind,))


def purge(connection: sa.Connection) -> None:
    run_once.purge(connection, request)
