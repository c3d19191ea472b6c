"""Makes the page at `/api`. It shows the operations of the OpenAPI document, and can be read without JavaScript."""

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

Schema = Mapping[str, Any]

_TEMPLATE = Path(__file__).with_suffix(".html")
_PLACE = re.compile(r"\{(?:title|navigation|operations|parts)\}")
_TICKS = re.compile(r"`([^`]+)`")
_NAMES: Mapping[str, str] = {"string": "text", "boolean": "true or false", "None": "any value"}
_BOUNDS: Mapping[str, str] = {
    "minimum": "at least {}", "maximum": "at most {}", "minLength": "at least {} characters",
    "maxLength": "at most {} characters", "minItems": "at least {}", "maxItems": "at most {}",
    "maxProperties": "at most {}",
}  # fmt: skip


def page(document: Schema) -> str:
    """The page of an OpenAPI document."""
    shapes: Schema = document["components"]["schemas"]
    operations = [(path, method, one) for path, methods in document["paths"].items() for method, one in methods.items()]
    names = [one["operationId"] for _, _, one in operations]
    inlined = {_name(schema) for _, _, one in operations for schema in _bodies(one) if _name(schema)}
    linked = {*_references([*shapes.values(), *(added for _, _, one in operations for added in _added(one))])}
    others = [name for name in sorted(shapes) if name not in inlined or name in linked]
    filled = {
        "{title}": escape(document["info"]["title"]),
        "{navigation}": "".join(f'<a href="#{name}"><code>{name}</code></a>' for name in names),
        "{operations}": "\n".join(_operation(path, method, one, shapes) for path, method, one in operations),
        "{parts}": "\n".join(f'<h3 id="{name}">{name}</h3>{_object(shapes[name], {})}' for name in others),
    }
    return _PLACE.sub(lambda place: filled[place[0]], _TEMPLATE.read_text(encoding="utf-8"))


def _bodies(operation: Schema) -> Iterator[Schema]:
    """The schemas of the request and of the reply."""
    for body in (operation.get("requestBody", {}), operation["responses"].get("200", {})):
        yield from (media["schema"] for media in body.get("content", {}).values())


def _added(operation: Schema) -> Iterator[Schema]:
    """The parts of the operation's bodies that are not complete shapes."""
    for schema in _bodies(operation):
        yield from schema.get("allOf", [{}, schema] if "anyOf" in schema else [])[1:]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield _name(value)
        for key, inner in value.items():
            yield from _references(inner) if key != "discriminator" else ()
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _operation(path: str, method: str, operation: Schema, shapes: Schema) -> str:
    token = _token(operation) if operation["security"] else "needs no token"
    parts = [
        f'<h3 id="{operation["operationId"]}"><code>{method.upper()} {path}</code></h3>',
        f"<p>{_sentence(operation['summary'])} <small>It {token}.</small></p>",
    ]
    bodies = [*_bodies(operation)]
    if len(bodies) == 2 and "anyOf" not in bodies[1]:
        request, reply = bodies
        parts += ["<h4>Request</h4>", _body(request, shapes, given=True), "<h4>Reply</h4>", _body(reply, shapes)]
    else:
        rows = (
            (f"<code>{one['name']}</code> ({one['in']})", one["description"], "optional", "")
            for one in operation["parameters"]
        )
        parts += ["<h4>Request</h4>", _table(rows)] if operation["parameters"] else []
        if "anyOf" in (events := bodies[-1]):
            parts += [f"<h4>Reply</h4><p>A stream of server-sent events: {_type(events)}.</p>"]
    return "".join(parts)


def _token(operation: Schema) -> str:
    """The kind of token that the operation needs."""
    scopes = operation["x-bot-scopes"]
    if scopes is None:
        return "needs the token of a user"
    named = " and ".join(f"<code>{scope}</code>" for scope in scopes)
    return f"needs a token, and of a bot the scope {named}" if named else "needs a token"


def _body(schema: Schema, shapes: Schema, *, given: bool = False) -> str:
    """The HTML of a shape with the members that are added to it."""
    first, *added = schema.get("allOf", [schema])
    return _object(shapes[_name(first)], shapes if given else {}) + "".join(_object(one, {}) for one in added)


def _object(shape: Schema, shapes: Schema) -> str:
    """The HTML table of an object. It has examples if `shapes` has their types."""
    text = f"<p>{_sentence(shape['description'])}</p>" if "description" in shape else ""
    required = shape.get("required", ())
    members = shape.get("properties", {})
    if not members:
        return text if text else '<p class="soft">No members.</p>'
    return text + _table(
        (
            f"<code>{escape(name)}</code>",
            _type(member),
            "" if name in required else _default(member),
            _code(example(member, shapes)) if shapes else "",
        )
        for name, member in members.items()
    )


def _table(rows: Iterator[tuple[str, str, str, str]]) -> str:
    """An HTML table without its empty columns."""
    columns = list(zip(("member", "type", "if left out", "example"), *rows, strict=True))
    head, *lines = zip(*(column for column in columns if any(column[1:])), strict=True)
    return f"<table>{_row(head, 'th')}{''.join(_row(line, 'td') for line in lines)}</table>"


def _row(cells: tuple[str, ...], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{cell}</{tag}>' for cell in cells)}</tr>"


def _default(member: Schema) -> str:
    return _code(member["default"]) if "default" in member else "optional"


def _code(value: Any) -> str:
    return f"<code>{escape(json.dumps(value, ensure_ascii=False), quote=False)}</code>"


def example(schema: Schema, shapes: Schema) -> Any:
    """An example value of a member. It is the example of the member's type, or is made from examples of the type's
    parts. An example of a shape has only the required members."""
    if name := _name(schema):
        members, required = shapes[name]["properties"], shapes[name].get("required", ())
        return {member: example(members[member], shapes) for member in required}
    if "anyOf" in schema:
        return example(schema["anyOf"][0], shapes)
    match schema:
        case {"examples": [value, *_]} | {"enum": [value, *_]} | {"const": value}:
            return value
        case {"type": "boolean"}:
            return True
        case {"prefixItems": parts}:
            return [example(part, shapes) for part in parts]
        case {"type": "array", "items": part}:
            return [example(part, shapes)]
    raise ValueError(f"a parameter without an example: {schema}")


def _sentence(text: str) -> str:
    words = _TICKS.sub(r"<code>\1</code>", escape(" ".join(text.split()), quote=False))
    return f"{words[0].upper()}{words[1:]}" + ("" if words.endswith(".") else ".")


def _name(schema: Schema) -> str:
    """The name of the shape that a reference names; empty for any other schema."""
    return str(schema.get("$ref", schema.get("allOf", [{}])[0].get("$ref", ""))).rpartition("/")[2]


def _type(schema: Schema) -> str:
    if name := _name(schema):
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(f"<code>{escape(json.dumps(value), quote=False)}</code>" for value in values)
    kind, parts = str(schema.get("type")), ""
    if kind == "array":
        kind, parts = "list", f" of {', '.join(map(_type, schema.get('prefixItems', [schema.get('items', {})])))}"
    elif kind == "object":
        parts = f", each value: {_type(schema.get('additionalProperties', {}))}"
    return ", ".join([_NAMES.get(kind, kind), *_bounds(schema)]) + parts


def _bounds(schema: Schema) -> Iterator[str]:
    for key, text in _BOUNDS.items():
        value = schema.get(key)
        if key in ("minLength", "minItems") and value == 1:
            yield "not empty"
        elif value is not None:
            yield text.format(value)
