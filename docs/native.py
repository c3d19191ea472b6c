"""The operations of the native dialect as a table for its page."""

from collections.abc import Iterator

import msgspec

from docs.interop import NOTHING, table
from services.edge.dialects.native.operation import AnyOperation
from services.edge.dialects.native.operations import OPERATIONS


def operations() -> str:
    return table("operation", map(_row, OPERATIONS), ("what it does", "members", "reply", "rate", "login", "bots"))


def _row(operation: AnyOperation) -> tuple[str, ...]:
    parameters = ", ".join(f"`{name}`" for name in members(operation.parameters, skip=("id",))) or NOTHING
    result = ", ".join(f"`{name}`" for name in members(operation.result)) or NOTHING
    login = "yes" if operation.needs_login else "no"
    return (f"`{operation.name}`", operation.text, parameters, result, operation.rate.value, login, _bots(operation))


def _bots(operation: AnyOperation) -> str:
    """What the token of a bot needs."""
    if operation.scopes is None:
        return "no"
    return ", ".join(sorted(operation.scopes)) or "yes"


def members(struct: type[msgspec.Struct], skip: tuple[str, ...] = ()) -> Iterator[str]:
    """The names of a struct's members on the wire; `?` marks those that may be left out."""
    for field in msgspec.structs.fields(struct):
        if field.name not in skip:
            yield field.encode_name if field.required else f"{field.encode_name}?"
