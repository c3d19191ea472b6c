"""native, client to server: one JSON object to an operation and its parameters."""

import re
from typing import Any, NamedTuple

import msgspec

from services.edge.canonical.frames import Binary, Frame
from services.edge.dialects.base import DecodeError
from services.edge.dialects.json_frames import scan_member
from services.edge.dialects.native.operation import AnyOperation
from services.edge.dialects.native.operations import BY_NAME
from services.edge.dialects.native.shapes import LONGEST_ID, Id, Parameters

_ERROR_CHARACTERS = 200
_FIELD_CHARACTERS = 64
_PATH = re.compile(r" - at (?:`key` in )?`\$(?P<path>[^`]*)`$")
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]+)`")


class CommandId(msgspec.Struct, frozen=True, gc=False):
    """The context of a command, also of one that cannot be decoded. `id`: None if it has none. `operation`: of one that
    can be."""

    id: Id | None
    unsupported: bool = False
    """The operation is unknown."""
    operation: AnyOperation | None = None


class CommandFrame(NamedTuple):
    operation: AnyOperation
    parameters: Parameters


def parse_command(members: dict[str, Any]) -> CommandFrame:
    """The command that is this object. Raises DecodeError with a CommandId."""
    bad = CommandId(_parse_id(members.get("id")))
    name = members.get("op")
    if not isinstance(name, str):
        raise DecodeError("`op` must name an operation", context=bad, field="op")
    operation = BY_NAME.get(name)
    if operation is None:
        unknown = f"there is no operation {name:.64}"
        raise DecodeError(unknown, context=msgspec.structs.replace(bad, unsupported=True), field="op")
    try:
        return CommandFrame(operation, msgspec.convert(members, operation.parameters, str_keys=True))
    except msgspec.ValidationError as error:
        text = str(error)
        raise DecodeError(text[:_ERROR_CHARACTERS], context=bad, field=_field(text)) from error


def scan_id(frame: Frame) -> CommandId:
    """Of a frame that is not decoded, or cannot be."""
    value = None if isinstance(frame, Binary) else scan_member(frame, b'"id"')
    try:
        return CommandId(_parse_id(value))
    except DecodeError:
        return CommandId(None)


def _parse_id(value: object) -> Id | None:
    try:
        return msgspec.convert(value, Id | None)  # type: ignore[no-any-return]
    except msgspec.ValidationError as error:
        text = f"`id` is an integer below 2^53 or a text of at most {LONGEST_ID} characters"
        raise DecodeError(text, context=CommandId(None), field="id") from error


def _field(text: str) -> str:
    """The path of the member that a validation error is about."""
    path, missing = _PATH.search(text), _MISSING.match(text)
    parts = [path["path"].lstrip(".") if path else "", missing["name"] if missing else ""]
    return ".".join(filter(None, parts))[:_FIELD_CHARACTERS]
