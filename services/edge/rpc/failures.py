"""The failure of a request that met a bug."""

from shared.contract.errors import ErrorCode, Failure

INTERNAL = Failure(ErrorCode.INTERNAL, "internal error")
