"""Parses the frames of JSON dialects. A frame is one valid JSON object, which is then converted into typed structs.
Every error is a DecodeError.

msgspec parses the JSON and rejects malformed JSON, NaN and infinities, lone surrogates and bad UTF-8. This module also
rejects deep nesting, duplicate keys and U+0000, which msgspec accepts.
"""

import re
from itertools import islice
from typing import Any, TypeVar

import msgspec

from services.edge.canonical.frames import Binary, Frame
from services.edge.dialects.base import DecodeError, Mask
from services.edge.dialects.wire_ids import parse_id
from shared.contract.errors import ErrorCode
from shared.settings.limits import FrameLimits

Shape = TypeVar("Shape")

_ERROR_CHARACTERS = 200
"""The most characters of a decoder's error that are shown. The error may quote the frame."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""A JSON string, from its opening quotation mark to the closing one or to the end of the input. So each byte of any
input is scanned only once."""
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*+\\u0000")
_SCALAR = re.compile(rb'\s*+:\s*+("(?:[^"\\]++|\\.)*+"|[0-9]++)(?=[\s,}])')
_SCANNED_STRINGS = 10_000
"""The most strings that are scanned. Scanning this number takes some milliseconds."""
_SAME_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class WireId:
    """An id in a struct of a frame: an integer or a decimal string (padded or not), from 1 to 2^63 - 1. WireId is not
    an `int`, because msgspec calls the decoding hook only for types that it does not know."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


def read_object(frame: Frame, limits: FrameLimits) -> dict[str, Any]:
    """Parse the JSON object in this frame. Raises DecodeError."""
    if isinstance(frame, Binary):
        raise DecodeError("a text frame is expected")
    if len(frame) > limits.text_frame_bytes:
        raise DecodeError(f"a frame has at most {limits.text_frame_bytes} bytes", ErrorCode.TOO_LARGE)
    return _parse_object(frame, limits)


def _parse_object(frame: bytes, limits: FrameLimits) -> dict[str, Any]:
    skeleton = _STRINGS.sub(b"", frame)
    if _is_deeper(skeleton, limits.json_depth):
        raise DecodeError(f"not JSON, or nested deeper than {limits.json_depth}")
    try:
        value = _decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(f"not JSON: {error}"[:_ERROR_CHARACTERS]) from error
    if not isinstance(value, dict):
        raise DecodeError("a JSON object is expected")
    if skeleton.count(b":") != _pairs(value):
        raise DecodeError("an object has the same key twice")
    if b"\\u0000" in frame and _NUL.search(frame):
        raise DecodeError("a string holds U+0000")
    return value


def scan_member(frame: bytes, name: bytes) -> object:
    """Return the text or natural number of this member of the outermost object. The frame may be invalid everywhere
    else. The result is None if the member does not exist or was not found."""
    depth = end = 0
    for string in islice(_STRINGS.finditer(frame), _SCANNED_STRINGS):
        between = frame[end : string.start()]
        depth += between.count(b"{") + between.count(b"[") - between.count(b"}") - between.count(b"]")
        end = string.end()
        if depth == 1 and string[0] == name and (found := _SCALAR.match(frame, end)) is not None:
            try:
                return _decode(found[1])
            except (msgspec.DecodeError, UnicodeDecodeError):
                return None
    return None


class MemberMask:
    """Masks the members of a dialect's frames, in objects at any depth, except members that never contain a secret. A
    member that the dialect does not have is masked. `public`: the names of members without secrets, separated by
    spaces. `objects`: members whose value must be an object. Any other value of such a member is masked. `counts`:
    members whose value is an object of integers, under names that users choose."""

    def __init__(self, public: str, objects: str = "", counts: str = "") -> None:
        self._public = frozenset(public.split())
        self._objects = frozenset(objects.split())
        self._counts = frozenset(counts.split())

    def apply(self, frame: bytes, mask: Mask, limits: FrameLimits) -> bytes | None:
        """See Dialect.mask_secrets. A frame without secrets is returned unchanged."""
        try:
            members = _parse_object(frame, limits)
        except DecodeError:
            return None
        masked = {name: self._top_member(name, value, mask) for name, value in members.items()}
        return frame if masked == members else _encode(masked)

    def _top_member(self, name: str, value: object, mask: Mask) -> object:
        if name in self._objects:
            return self._masked(value, mask) if isinstance(value, dict) else _mask_value(value, mask)
        return self._member(name, value, mask)

    def _member(self, name: str, value: object, mask: Mask) -> object:
        if name in self._counts and isinstance(value, dict):
            return {key: one if type(one) is int else _mask_value(one, mask) for key, one in value.items()}
        return self._masked(value, mask) if name in self._public or name.isdecimal() else _mask_value(value, mask)

    def _masked(self, value: object, mask: Mask) -> object:
        if isinstance(value, dict):
            return {name: self._member(name, member, mask) for name, member in value.items()}
        return [self._masked(one, mask) for one in value] if isinstance(value, list) else value


def _mask_value(value: object, mask: Mask) -> object:
    """Mask a value. An empty value stays as it is."""
    if value is None or value == "" or isinstance(value, bool):
        return value
    return mask(_encode(value).decode() if isinstance(value, dict | list) else str(value))


def count_quotes(value: object) -> int:
    """The number of quotation marks in the value of a member. The value is no object or list."""
    return 2 if type(value) is str else 0


def integer(members: dict[str, Any], name: str) -> int:
    """Return the member of this name, which must be an integer. Raises DecodeError."""
    value = members.get(name)
    if type(value) is not int:
        raise DecodeError(f"`{name}` must be an integer")
    return value


def decode_as(members: dict[str, Any], shape: type[Shape]) -> Shape:
    """Convert the object into a msgspec struct, and ignore unknown members. Raises a DecodeError that names the wrong
    member."""
    try:
        return msgspec.convert(members, shape, dec_hook=_convert_id)
    except msgspec.ValidationError as error:
        raise DecodeError(str(error)[:_ERROR_CHARACTERS]) from error


def _convert_id(kind: type, value: object) -> WireId:
    assert kind is WireId
    number = parse_id(value)
    if number is None:
        raise ValueError("expected an id, as a positive integer or a decimal string")
    return WireId(number)


def _is_deeper(skeleton: bytes, depth: int) -> bool:
    """Whether brackets are nested deeper than `depth` or do not match. The innermost pairs are removed repeatedly."""
    brackets = skeleton.translate(_SAME_BRACKETS, _NO_BRACKETS)
    for _ in range(depth):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _pairs(value: object) -> int:
    """The number of members of all objects in the value."""
    count, waiting = 0, [value]
    for one in waiting:
        if type(one) is dict:
            count += len(one)
            waiting.extend(one.values())
        elif type(one) is list:
            waiting.extend(one)
    return count
