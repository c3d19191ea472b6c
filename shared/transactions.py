"""What use cases need of a database: it runs functions of the store, which take a connection, each as a transaction."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Transactions(Protocol):
    """Raises RequestError (`unavailable`) when the database does not answer; rolls back and raises what the function
    raises. A `brief` transaction may run on the event loop."""

    async def read(self, work: Callable[[Any, *Ts], T], *args: *Ts, brief: bool = False) -> T:
        """All that `work` reads is one snapshot."""

    async def write(self, work: Callable[[Any, *Ts], T], *args: *Ts, brief: bool = False) -> T:
        """The transaction is durably committed on return."""
