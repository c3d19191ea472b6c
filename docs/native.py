"""Makes the table of the operations of the native dialect for its page."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from docs.interop import NOTHING, table
from services.edge.dialects.native.operation import AnyOperation
from services.edge.dialects.native.operations import OPERATIONS
from services.edge.dialects.native.shapes import LARGEST

_SCALAR = 2**31 - 1
"""Numbers without a limit of their own have this limit, which the table does not show."""


def operations() -> str:
    return table("operation", map(_row, OPERATIONS), ("what it does", "members", "reply", "rate", "bots"))


def _row(operation: AnyOperation) -> tuple[str, ...]:
    parameters = ", ".join(_limited(operation.parameters)) or NOTHING
    result = ", ".join(f"`{name}`" for name in members(operation.result)) or NOTHING
    rate = operation.rate.value if operation.needs_login else f"{operation.rate.value} (no login)"
    return (f"`{operation.name}`", operation.text, parameters, result, rate, _bots(operation))


def _limited(struct: type[msgspec.Struct]) -> Iterator[str]:
    """The parameters, with their defaults and limits."""
    schema = msgspec.json.schema(struct)["$defs"][struct.__name__]
    for name, shape in schema["properties"].items():
        if name != "id":
            default = shape.get("default")
            text = default if isinstance(default, str) else json.dumps(default)
            absence = f"={text}" if default else "" if name in schema["required"] else "?"
            yield f"`{name}{absence}`{_limits(shape)}"


def _limits(shape: dict[str, Any]) -> str:
    """The limits of a member as text, except limits that all numbers or all chats have in common."""
    if "anyOf" in shape:
        return _limits(shape["anyOf"][0])
    if "enum" in shape:
        return f" ({'/'.join(map(str, shape['enum']))})"
    most = shape.get("maxLength", shape.get("maxItems", shape.get("maxProperties")))
    if most is not None:
        return f" (≤{most})"
    least, most = shape.get("minimum"), shape.get("maximum", LARGEST)
    return f" ({least}–{most})" if most < _SCALAR else ""


def _bots(operation: AnyOperation) -> str:
    """The scopes that a bot's token needs for the operation."""
    if operation.scopes is None:
        return "no"
    return ", ".join(sorted(operation.scopes)) or "yes"


def members(struct: type[msgspec.Struct], skip: tuple[str, ...] = ()) -> Iterator[str]:
    """The names of a struct's members on the wire; `?` marks optional members."""
    for field in msgspec.structs.fields(struct):
        if field.name not in skip:
            yield field.encode_name if field.required else f"{field.encode_name}?"
