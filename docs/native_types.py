"""Generates the Python types of the native dialect, from the schema from which the TypeScript types are generated."""

import json
from collections.abc import Iterable, Iterator, Mapping
from textwrap import wrap
from typing import Any

import msgspec

from services.edge.dialects.native.events import EVENTS, CursorEvent, ResumedEvent
from services.edge.dialects.native.operation import AnyOperation
from services.edge.dialects.native.operations import OPERATIONS
from services.edge.dialects.native.shapes import ErrorInfo

Schema = dict[str, Any]

_HEAD = '''"""The shapes of native. `./dev docs` makes this module from the table of operations: do not edit it.

Parameters whose names Python reserves end in `_`, such as `from_`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal, NotRequired, TypedDict, overload

'''
_CALLS = '''

class Operations(ABC):
    """Every operation, with the types of its parameters and of its reply."""
'''
_CALL = """
    async def call(self, op: str, **members: Any) -> Any:
        return await self._call(op, members)

    @abstractmethod
    async def _call(self, op: str, members: dict[str, Any]) -> Any: ...
"""
_KEYWORDS = ("from",)
_WIDTH, _HARD_SPACE = 120, "\N{NO-BREAK SPACE}"
_SCALARS = {"integer": "int", "number": "float", "string": "str", "boolean": "bool", "null": "None"}


def python() -> str:
    """The text of dragoman_client/native.py."""
    structs = {one.parameters for one in OPERATIONS} | {one.result for one in OPERATIONS}
    events = [event for event in EVENTS if event not in (CursorEvent, ResumedEvent)]  # by HTTP alone
    types = [*sorted(structs, key=lambda struct: struct.__name__), *events, ErrorInfo]
    _, shapes = msgspec.json.schema_components(types, ref_template="#/{name}")
    sent = {name: shapes.pop(name) for name in {one.parameters.__name__ for one in OPERATIONS}}
    made = [json.dumps(one.name) for one in OPERATIONS if _takes_nonce(one)]
    bases = bases_of(shapes)
    lines = [_HEAD, *(_shape(name, shapes[name], bases.get(name), shapes) for name in _bases_first(shapes, bases))]
    lines += ["Event = (", *_lines(" | ".join(event.__name__ for event in events)), ")"]
    lines += ["NONCED = (", *_lines(f"{', '.join(made)},"), ")"]
    lines += ['"""Operations that have their effect once, however often they are sent under one nonce."""', _CALLS]
    lines += [line for one in OPERATIONS for line in _overload(one, sent[one.parameters.__name__])]
    return "\n".join([*lines, _CALL.rstrip("\n"), ""])


def _takes_nonce(operation: AnyOperation) -> bool:
    return "nonce" in operation.parameters.__struct_fields__


def bases_of(shapes: Mapping[str, Schema]) -> dict[str, str]:
    """For each shape whose struct extends the struct of another one, the name of that other shape."""
    structs = {one.__name__: one for one in _extensions(msgspec.Struct) if one.__name__ in shapes}
    found = {
        name: next((base.__name__ for base in struct.__mro__[1:] if base.__name__ in shapes), "")
        for name, struct in structs.items()
    }
    return {name: base for name, base in found.items() if base}


def _extensions(struct: type[Any]) -> Iterator[type[Any]]:
    for one in struct.__subclasses__():
        yield one
        yield from _extensions(one)


def _bases_first(names: Iterable[str], bases: Mapping[str, str]) -> Iterable[str]:
    ordered = dict[str, None]()
    for name in names:
        line = [name]
        while (base := bases.get(line[-1])) is not None:
            line.append(base)
        ordered |= dict.fromkeys(one for one in reversed(line) if one not in ordered)
    return ordered


def own_members(shape: Schema, base: str | None, shapes: Mapping[str, Schema]) -> dict[str, Schema]:
    """The members of a shape that it does not have from its base."""
    inherited = {} if base is None else shapes[base]["properties"]
    return {member: schema for member, schema in shape["properties"].items() if inherited.get(member) != schema}


def _shape(name: str, shape: Schema, base: str | None, shapes: Mapping[str, Schema]) -> str:
    members = {member: _type(schema) for member, schema in own_members(shape, base, shapes).items()}
    members |= {one: f"NotRequired[{members[one]}]" for one in members if one not in shape.get("required", ())}
    text = shape.get("description", "")
    if any(member in _KEYWORDS for member in members):
        pairs = ", ".join(f'"{member}": "{kind}"' for member, kind in members.items())
        return "\n".join([f'{name} = TypedDict("{name}", {{{pairs}}})', *([f'"""{text}"""'] if text else []), ""])
    body = [*([f'    """{text}"""'] if text else []), *(f"    {one}: {kind}" for one, kind in members.items())]
    return "\n".join([f"class {name}({base or 'TypedDict'}):", *(body or ["    pass"]), ""])


def _type(shape: Schema) -> str:
    if "anyOf" in shape:
        return " | ".join(dict.fromkeys(_type(one) for one in shape["anyOf"]))
    if "allOf" in shape:
        return _type(shape["allOf"][0])
    if "$ref" in shape:
        return str(shape["$ref"]).removeprefix("#/")
    if "const" in shape or "enum" in shape:
        return f"Literal[{', '.join(json.dumps(one) for one in shape.get('enum', [shape.get('const')]))}]"
    match shape.get("type"):
        case "array":
            items = shape.get("prefixItems") or [shape["items"]]
            return f"list[{' | '.join(dict.fromkeys(_type(one) for one in items))}]"
        case "object":
            return f"dict[str, {_type(shape.get('additionalProperties', {}))}]"
        case kind:
            return _SCALARS.get(str(kind), "Any")


def _lines(text: str, indent: int = 4) -> Iterable[str]:
    margin = " " * indent
    lines = wrap(text, _WIDTH, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False)
    return [line.replace(_HARD_SPACE, " ") for line in lines]


def _overload(one: AnyOperation, sent: Schema) -> Iterator[str]:
    members = [_parameter(name, sent, kind) for name, kind in sent["properties"].items() if name != "id"]
    inner = ", ".join(["self", f'op: Literal["{one.name}"]', *(["*", *members] if members else [])])
    text = sent.get("description", "")
    head, end = f"    async def call({inner})", f" -> {one.result.__name__}:{'' if text else ' ...'}"
    yield "    @overload"
    if len(head + end) <= _WIDTH:
        yield (head + end).replace(_HARD_SPACE, " ")
    else:
        yield from ("    async def call(", *_lines(inner, 8), f"    ){end}")
    if text:
        yield from _lines(f'"""{" ".join(text.split())}"""', 8)


def _parameter(name: str, sent: Schema, schema: Schema) -> str:
    default = "" if name in sent.get("required", ()) else " = ..."
    return f"{name}{'_' if name in _KEYWORDS else ''}: {_type(schema)}{default}".replace(" ", _HARD_SPACE)
