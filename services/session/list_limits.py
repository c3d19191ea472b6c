"""The limits of lists in requests and replies."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from shared.contract.errors import ErrorCode, RequestError

T = TypeVar("T")
N = TypeVar("N", bound=int)

_INT64_MAX = 2**63 - 1


def take_fitting(items: Sequence[T], most_bytes: int) -> Sequence[T]:
    """The first items whose encoded sizes together are at most `most_bytes`."""
    for count, item in enumerate(items):
        most_bytes -= len(msgspec.msgpack.encode(item))
        if most_bytes < 0:
            return items[:count]
    return items


def in_int64(numbers: Iterable[N]) -> list[N]:
    """The distinct ids within the range of a database column, ascending. No row has an id outside this range."""
    return sorted({number for number in numbers if 1 <= number <= _INT64_MAX})


def check_batch_size(items: Sequence[object], limit: int, field: str) -> None:
    if len(items) > limit:
        raise RequestError(ErrorCode.LIMIT, f"at most {limit} at once", field)
