"""The values that every part of one running edge may use: settings, time, tasks and metrics."""

from collections.abc import Callable
from dataclasses import dataclass

from services.edge.dialects.base import ServerInfo
from services.edge.metrics import EdgeMetrics
from shared.settings import Settings
from shared.tasks import Tasks


@dataclass(frozen=True, eq=False)
class EdgeContext:
    settings: Settings
    clock: Callable[[], float]
    """The event loop's `time`, in monotonic seconds. The loop is looked up only once, because this lookup costs a
    system call before Python 3.12."""
    tasks: Tasks
    metrics: EdgeMetrics
    server: ServerInfo
