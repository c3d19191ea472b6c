"""native, both directions: `readers`."""

import msgspec

from services.edge.dialects.native.parameters import Index, IndexParameters


class ReadersParameters(IndexParameters, kw_only=True):
    """`after`: the last account of the page before."""

    after: Index = 0


class ReadersResult(msgspec.Struct):
    """`count`: of all members that have read the message, without its sender. `more`: request the next page with
    `after`, the last account."""

    count: int
    accounts: list[int]
    more: bool
