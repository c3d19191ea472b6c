"""What becomes of the exceptions of one client's requests. Any exception but RequestError is a bug."""

from collections.abc import Callable

from services.edge.rate_limit import TokenBucket, log_rate
from services.edge.rpc.failures import INTERNAL
from shared.contract.errors import Failure, RequestError
from shared.telemetry import log

_log = log(__name__)


class FailureLog:
    """Logs bugs, one a second: a client that has found one can repeat it."""

    __slots__ = ("_clock", "_rate")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rate: TokenBucket | None = None

    def to_failure(self, error: Exception, command: str) -> Failure:
        if isinstance(error, RequestError):
            return error.failure
        if self._rate is None:
            self._rate = log_rate(self._clock())
        if self._rate.take(self._clock()):
            _log.error("request failed", command=command, exc_info=error)
        return INTERNAL
