"""The interface of workloads. The defaults suit a workload without messages."""

from abc import ABC, abstractmethod

from bench.load.protocol import Progress
from bench.load.verifier import SentCounts


class Workload(ABC):
    """Called in this order: `connect`, `run`, `reconcile`, `close`. `connect` and `run` raise ClientError."""

    @abstractmethod
    async def connect(self) -> None:
        """Connect before the load starts."""

    @abstractmethod
    async def run(self, at: int) -> None:
        """Run the load from `at` (nanoseconds of the monotonic clock) to its end."""

    @property
    @abstractmethod
    def progress(self) -> Progress: ...

    @property
    def sent_counts(self) -> SentCounts:
        return SentCounts()

    def reconcile(self, sent_counts: SentCounts) -> None:
        """Count lost messages, given the sent messages of all processes."""
        return

    @abstractmethod
    async def close(self) -> None: ...
