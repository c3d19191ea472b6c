"""native: the one table of operations. The decoder, the schemas and the documents are made from it."""

from collections.abc import Mapping

from services.edge.dialects.native import parameters, results
from services.edge.dialects.native.account_operations import ACCOUNT_OPERATIONS
from services.edge.dialects.native.contact_operations import CONTACT_OPERATIONS
from services.edge.dialects.native.group_operations import GROUP_OPERATIONS
from services.edge.dialects.native.message_operations import MESSAGE_OPERATIONS
from services.edge.dialects.native.operation import ANY, RATES, Operation, RateClass
from services.edge.dialects.native.requests import Caller

VERSION = 1


def _hello(_: parameters.HelloParameters, caller: Caller) -> results.HelloResult:
    limits = caller.limits
    rates: dict[str, tuple[float, int]] = {"all": (limits.requests_per_second, limits.requests_burst)}
    rates.update((rate.value, found) for rate, found in RATES.items())
    shown = results.ServerLimits(
        limits.message_text_bytes,
        limits.text_frame_bytes,
        limits.segments_per_message,
        limits.file_bytes,
        rates if limits.rates else {},
        limits.requests_waiting,
    )
    return results.HelloResult(VERSION, "dragoman", shown, list(BY_NAME), caller.unix_ms, caller.ping_ms)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "hello", "the version, the limits and the operations of the server",
        RateClass.LOCAL, ANY, parameters.HelloParameters, results.HelloResult, _hello, False,
    ),
    *ACCOUNT_OPERATIONS, *MESSAGE_OPERATIONS, *CONTACT_OPERATIONS, *GROUP_OPERATIONS,
)  # fmt: skip
BY_NAME: Mapping[str, Operation] = {operation.name: operation for operation in OPERATIONS}
