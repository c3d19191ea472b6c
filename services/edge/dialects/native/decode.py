"""The dialect native, client to server: decodes one JSON object into an operation and its parameters."""

import re
from typing import Any, NamedTuple, get_type_hints

import msgspec
from msgspec.structs import replace

from services.edge.canonical.frames import Binary, Frame
from services.edge.dialects.base import DecodeError
from services.edge.dialects.json_frames import scan_member
from services.edge.dialects.native.operation import AnyOperation
from services.edge.dialects.native.operations import BY_NAME
from services.edge.dialects.native.shapes import LONGEST_ID, Id, Parameters
from shared.contract.errors import Failure, Reason

_FIELD_CHARACTERS = 64
_ANY_KEY = "[...]"
_BYTE = re.compile(r"\(byte (\d+)\)")
_PATH = re.compile(r" - at (?:`key` in )?`\$(?P<path>[^`]*)`$")
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]+)`")
_EXPECTED = re.compile(r"Expected `(?P<kind>[^`]+)`(?P<length> of length)?(?: (?P<bound>[<>]=? -?[\d.]+))?")
_KINDS = {
    "int": "an integer", "str": "a text", "bool": "true or false", "float": "a number", "array": "a list",
    "object": "an object", "null": "null",
}  # fmt: skip
_BOUNDS = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than"}


class CommandId(msgspec.Struct, frozen=True, gc=False):
    """The context of a command, even of a command that cannot be decoded. `id`: None if the command has no id.
    `operation`: set if the command can be decoded."""

    id: Id | None
    unsupported: bool = False
    """Whether the operation is unknown."""
    operation: AnyOperation | None = None


class CommandFrame(NamedTuple):
    operation: AnyOperation
    parameters: Parameters


def parse_command(members: dict[str, Any]) -> CommandFrame:
    """Read the command in this object. Raises DecodeError with a CommandId."""
    bad = CommandId(_parse_id(members.get("id")))
    name = members.get("op")
    if not isinstance(name, str):
        raise DecodeError("`op` must name an operation", context=bad, field="op", reason=Reason.TYPE)
    operation = BY_NAME.get(name)
    if operation is None:
        unknown = f"there is no operation {name:.64}"
        raise DecodeError(unknown, context=msgspec.structs.replace(bad, unsupported=True), field="op")
    try:
        return CommandFrame(operation, msgspec.convert(members, operation.parameters, str_keys=True))
    except msgspec.ValidationError as error:
        field = _with_key(_field(str(error)), members, operation.parameters)
        text, reason = why_not(str(error), field)
        raise DecodeError(text, context=bad, field=field, reason=reason) from error


def in_plain_words(error: DecodeError) -> Failure:
    """The error for a frame that is no JSON object, in words that do not come from the JSON decoder."""
    cause = error.__cause__
    if not isinstance(cause, msgspec.DecodeError | UnicodeDecodeError):
        return error.failure
    place = _BYTE.search(str(cause))
    return replace(error.failure, text="not JSON" if place is None else f"not JSON from byte {place[1]} on")


def scan_id(frame: Frame) -> CommandId:
    """Return the id of a frame that cannot be decoded."""
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
        raise DecodeError(text, context=CommandId(None), field="id", reason=Reason.TYPE) from error


def why_not(text: str, field: str) -> tuple[str, Reason]:
    """Put the decoder's error into plain words, such as the required type of a field. Returns these words and the
    reason."""
    name = f"`{field or 'command'}`"
    if _MISSING.match(text):
        return f"{name} is missing", Reason.MISSING
    if "matching regex" in text:
        return f"{name} does not have the required form", Reason.FORM
    expected = _EXPECTED.match(text)
    if expected is None:
        return f"{name} has a value that is not permitted", Reason.CHOICE
    if not expected["bound"]:
        kinds = " or ".join(_KINDS.get(kind, kind) for kind in expected["kind"].split(" | "))
        return f"{name} must be {kinds}", Reason.TYPE
    sign, bound = expected["bound"].split()
    if not expected["length"]:
        return f"{name} must be {_BOUNDS[sign]} {bound}", Reason.RANGE
    unit = "characters" if expected["kind"] == "str" else "items"
    return f"{name} must have {_BOUNDS[sign]} {bound} {unit}", Reason.LENGTH


def _with_key(field: str, members: dict[str, Any], parameters: type[Parameters]) -> str:
    """The field with a key of the object that it is in, because the decoder names no keys (`have[...]`)."""
    name, is_inside, rest = field.partition(_ANY_KEY)
    values = members.get(name)
    if not is_inside or not isinstance(values, dict):
        return field
    kind = get_type_hints(parameters, include_extras=True)[name]
    for key, value in values.items():
        try:
            msgspec.convert({key: value}, kind, str_keys=True)
        except msgspec.ValidationError:
            return f"{name}[{key}]{rest}"[:_FIELD_CHARACTERS]
    return field


def _field(text: str) -> str:
    """The path of the member that a validation error names."""
    path, missing = _PATH.search(text), _MISSING.match(text)
    parts = [path["path"].lstrip(".") if path else "", missing["name"] if missing else ""]
    return ".".join(filter(None, parts))[:_FIELD_CHARACTERS]
