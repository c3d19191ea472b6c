"""Stores the results of requests, so that a repeated request gets the same result. No result contains a secret: a
repetition signs tokens again, and derives refresh tokens from the request's nonce."""

from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

import sqlalchemy as sa

from services.auth.tables import requests
from shared import run_once
from shared.contract.auth import Revocation

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

REVOKED = (Revocation, type(None))
"""The types of the result of a step that revokes tokens: None if there was nothing to revoke."""


def once(step: Callable[[sa.Connection, *Ts], T], *kinds: Any, part: str = "") -> Callable[[sa.Connection, *Ts], T]:
    """See shared.run_once."""
    return run_once.once(requests, step, kinds, part)


def stored(*kinds: Any) -> Callable[[sa.Connection], Any]:
    """The result that an earlier attempt at the current request has stored; None if there is no such result."""
    return run_once.stored(requests, kinds)


def purge(connection: sa.Connection) -> None:
    run_once.purge(connection, requests)
