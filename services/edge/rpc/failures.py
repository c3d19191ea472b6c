"""Converts a failed request into a Failure. Any exception but RequestError is a bug, and is logged."""

from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.telemetry import log

_log = log(__name__)

INTERNAL = Failure(ErrorCode.INTERNAL, "internal error")


def to_failure(error: Exception, command: str) -> Failure:
    if isinstance(error, RequestError):
        return error.failure
    _log.error("request failed", command=command, exc_info=error)
    return INTERNAL
