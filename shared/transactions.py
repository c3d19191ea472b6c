"""The database as use cases see it: functions of the store, which take a connection, are executed as transactions."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Transactions(Protocol):
    """Raises RequestError (`unavailable`) if the database does not answer. Rolls back and re-raises an exception of the
    function. A `brief` transaction may run on the event loop."""

    async def read(self, work: Callable[[Any, *Ts], T], *args: *Ts, brief: bool = False) -> T:
        """`work` reads from one snapshot."""

    async def write(self, work: Callable[[Any, *Ts], T], *args: *Ts, brief: bool = False) -> T:
        """The transaction is durably committed on return."""
