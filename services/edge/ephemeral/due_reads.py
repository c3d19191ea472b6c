"""What accounts have read and is shown soon, by requests one after the other: notices of a chat keep their order."""

from collections.abc import Awaitable, Callable, Mapping
from itertools import islice

from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.receipts import MAX_READ_INDEXES
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)
_DUE = 20_000
"""Further reads are not shown."""

ReadKey = tuple[AccountId, ChatId]


class DueReads:
    """`show` takes a batch with the connection of each read that need not be notified (0: none), and may raise
    RequestError: then the batch is not shown."""

    def __init__(self, show: Callable[[Mapping[ReadKey, int]], Awaitable[None]], tasks: Tasks, name: str) -> None:
        self._show = show
        self._tasks = tasks
        self._name = name
        self._due: dict[ReadKey, int] = {}
        self._is_working = False

    def add(self, key: ReadKey, origin: int = 0) -> None:
        """Two reads of one chat from two connections: both are notified."""
        if key in self._due:
            self._due[key] = 0
        elif len(self._due) < _DUE:
            self._due[key] = origin
        if self._due and not self._is_working:
            self._is_working = True
            self._tasks.start(self._work(), self._name)

    async def _work(self) -> None:
        try:
            while self._due:
                batch = dict(islice(self._due.items(), MAX_READ_INDEXES))
                for key in batch:
                    del self._due[key]
                await self._show_batch(batch)
        finally:
            self._is_working = False

    async def _show_batch(self, batch: Mapping[ReadKey, int]) -> None:
        try:
            await self._show(batch)
        except RequestError as error:
            _log.info(f"{self._name} not shown", reads=len(batch), error=str(error))
