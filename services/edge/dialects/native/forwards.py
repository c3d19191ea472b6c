"""native, server to client: the results of `forward`. Members that may be UNSET are left out then."""

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.dialects.native.results import ErrorInfo


class ForwardInfo(msgspec.Struct):
    """Of one chat: the place of the message, or the failure. `again`: the command was a repetition."""

    chat: int
    index: int | UnsetType = UNSET
    id: int | UnsetType = UNSET
    time: int | UnsetType = UNSET
    again: bool | UnsetType = UNSET
    failure: ErrorInfo | UnsetType = UNSET


class ForwardResult(msgspec.Struct):
    """In the order of the command."""

    results: list[ForwardInfo]
