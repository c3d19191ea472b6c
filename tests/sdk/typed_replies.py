"""Checks that replies and events of native have the types that dragoman_client.native declares for them."""

from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from dragoman_client import native
from services.edge.dialects.native.operations import OPERATIONS

RESULTS: Mapping[str, type] = {one.name: getattr(native, one.result.__name__) for one in OPERATIONS}
EVENTS: Mapping[str, type] = {get_args(get_type_hints(kind)["ev"])[0]: kind for kind in get_args(native.Event)}


def reply_faults(op: str, reply: Mapping[str, Any]) -> list[str]:
    return list(_faults(dict(reply), RESULTS[op], op))


def event_faults(event: Mapping[str, Any]) -> list[str]:
    return list(_faults(dict(event), EVENTS[event["ev"]], event["ev"]))


def _faults(value: object, kind: Any, where: str) -> Iterator[str]:
    if is_typeddict(kind) and isinstance(value, dict):
        yield from _members(value, kind, where)
    elif get_origin(kind) in (Union, UnionType):
        found = [list(_faults(value, one, where)) for one in get_args(kind)]
        yield from min(found, key=len)
    elif get_origin(kind) is list and isinstance(value, list):
        for number, one in enumerate(value):
            yield from _faults(one, get_args(kind)[0], f"{where}[{number}]")
    elif get_origin(kind) is dict and isinstance(value, dict):
        for name, one in value.items():
            yield from _faults(one, get_args(kind)[1], f"{where}.{name}")
    elif get_origin(kind) is Literal:
        if value not in get_args(kind):
            yield f"{where} is {value!r}"
    elif kind is not Any and type(value) is not (NoneType if kind is None else kind):
        if not (kind is float and type(value) is int):
            yield f"{where} is no {kind}: {value!r}"


def _members(value: Mapping[str, object], kind: Any, where: str) -> Iterator[str]:
    hints = get_type_hints(kind, include_extras=True)
    yield from (f"{where}.{name} is unknown" for name in value.keys() - hints.keys())
    for name, hint in hints.items():
        is_optional = get_origin(hint) is NotRequired
        if name in value:
            yield from _faults(value[name], get_args(hint)[0] if is_optional else hint, f"{where}.{name}")
        elif not is_optional:
            yield f"{where}.{name} is missing"
