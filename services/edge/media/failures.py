"""Reports failures of the media store: to the operator by log and metrics, to the client as an error reply."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from services.edge.metrics import EdgeMetrics
from shared.contract.errors import ErrorCode, RequestError
from shared.telemetry import log

_log = log(__name__)


class StoreFailures:
    def __init__(self, metrics: EdgeMetrics) -> None:
        self._metrics = metrics

    @contextmanager
    def reported(self, operation: str) -> Iterator[None]:
        """Converts an OSError (including TimeoutError) or a damaged record into RequestError."""
        try:
            yield
        except (OSError, msgspec.MsgspecError) as error:
            self._metrics.media_failures.labels(operation).inc()
            _log.warning("the media store failed", doing=operation, error=repr(error))
            raise RequestError(ErrorCode.UNAVAILABLE, "files cannot be stored or read now, please try again") from error
