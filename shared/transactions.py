"""The database as use cases see it: functions of the store, which take a connection, are executed as transactions."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Transactions(Protocol):
    """Executes functions as transactions. Raises RequestError (`unavailable`) if the database does not answer. If the
    function raises an exception, the transaction is rolled back and the exception is raised again. A `brief`
    transaction may run on the event loop."""

    async def read(self, work: Callable[[Any, *Ts], T], *args: *Ts, brief: bool = False) -> T:
        """Executes `work`, which reads from one snapshot of the database."""

    async def write(self, work: Callable[[Any, *Ts], T], *args: *Ts, brief: bool = False) -> T:
        """Executes `work`. The transaction is durably committed when the call returns."""

    async def clock(self) -> int:
        """The time of the database in Unix milliseconds."""
