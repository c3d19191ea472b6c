"""What a task makes a process do. The defaults are those of one in which nobody speaks."""

from abc import ABC, abstractmethod

from bench.load.protocol import Progress
from bench.load.verifier import SentCounts


class Workload(ABC):
    """In this order: `connect`, `run`, `settle`, `close`. All but the last raise ClientError."""

    @abstractmethod
    async def connect(self) -> None:
        """Before the clock starts."""

    @abstractmethod
    async def run(self, at: int) -> None:
        """From this moment, in nanoseconds of the monotonic clock, to the end of the load."""

    @property
    @abstractmethod
    def progress(self) -> Progress: ...

    @property
    def sent_counts(self) -> SentCounts:
        return SentCounts()

    def reconcile(self, spoken: SentCounts) -> None:
        """Count what is missing, knowing what everybody has said."""
        return

    @abstractmethod
    async def close(self) -> None: ...
