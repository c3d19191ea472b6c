"""How a failure of the store is told: to the operator in the log and the metrics, to the client as a refusal."""

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
    def reported(self, doing: str) -> Iterator[None]:
        """Turns an OSError (a TimeoutError, too) or a damaged record into Refused."""
        try:
            yield
        except (OSError, msgspec.MsgspecError) as error:
            self._metrics.media_failures.labels(doing).inc()
            _log.warning("the media store failed", doing=doing, error=repr(error))
            raise RequestError(ErrorCode.UNAVAILABLE, "files cannot be stored or read now, please try again") from error
