"""Makes the machine-readable documents of the native dialect from its table of operations: JSON Schema, AsyncAPI 3,
OpenAPI 3.1 with its page, and types for TypeScript and Python."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from docs.native_page import page
from docs.native_types import bases_of, own_members, python
from services.edge.dialects.native.events import EVENTS
from services.edge.dialects.native.operation import AnyOperation
from services.edge.dialects.native.operations import OPERATIONS, VERSION
from services.edge.dialects.native.shapes import ErrorInfo, Id, OvertakingParameters, Parameters
from shared.contract.bots import TokenScope

Schema = dict[str, Any]

_TITLE = "Dragoman native"
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_INDENT = "  "
_OF_CONNECTIONS = ("token", "verify_mail", "watch", "here")
"""Operations that are useful only on a connection."""


def documents() -> Mapping[str, str]:
    """The text of each document by the path of its file."""
    http = open_api()
    return {
        "docs/protocols/native.schema.json": _text(json_schema()),
        "docs/protocols/native.asyncapi.json": _text(async_api()),
        "clients/javascript/openapi.json": _text(http),
        "clients/javascript/index.html": page(http),
        "clients/javascript/native.d.ts": typescript(),
        "dragoman_client/native.py": python(),
    }


def _text(document: Schema) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


# JSON Schema


def json_schema() -> Schema:
    """The schema of any frame. `$defs` has each shape by its name, for example SendCommand, SendReply, MessageEvent and
    ErrorReply."""
    shapes = [name for operation in OPERATIONS for name in (command_name(operation), reply_name(operation))]
    shapes += ["ErrorReply", *(event.__name__ for event in EVENTS)]
    return {
        "$schema": _DRAFT,
        "title": _TITLE,
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in shapes],
        "$defs": definitions("#/$defs/{name}"),
    }


def command_name(operation: AnyOperation) -> str:
    return f"{_pascal(operation.name)}Command"


def reply_name(operation: AnyOperation) -> str:
    return f"{_pascal(operation.name)}Reply"


def _pascal(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def definitions(template: str, *more: type) -> Schema:
    """All shapes and their parts, and `more` shapes; `template` makes the reference to a name."""
    structs = {operation.parameters for operation in OPERATIONS} | {operation.result for operation in OPERATIONS}
    types = [*more, *sorted(structs, key=lambda struct: struct.__name__), *EVENTS, ErrorInfo]
    (number, *_), components = msgspec.json.schema_components([Id, *types], ref_template=template)
    shapes: Schema = {"Id": number, **components}

    def extended(name: str, **properties: Schema) -> Schema:
        added = {"type": "object", "properties": properties, "required": [*properties]}
        return {"allOf": [{"$ref": template.format(name=name)}, added]} if name else added

    named, error = {"$ref": template.format(name="Id")}, {"$ref": template.format(name="ErrorInfo")}
    for one in OPERATIONS:
        shapes[command_name(one)] = extended(one.parameters.__name__, op={"const": one.name})
        shapes[reply_name(one)] = extended(one.result.__name__, re=named)
    shapes["ErrorReply"] = extended("", re={"anyOf": [named, {"type": "null"}]}, error=error)
    return shapes


# AsyncAPI


def async_api() -> Schema:
    """The document from the view of the edge, which receives commands, replies to them, and sends events."""
    names = [name for one in OPERATIONS for name in (command_name(one), reply_name(one))]
    names += ["ErrorReply", *(event.__name__ for event in EVENTS)]
    operations: Schema = {one.name: _received(one) for one in OPERATIONS}
    operations["events"] = {
        "action": "send",
        "channel": {"$ref": "#/channels/native"},
        "messages": [_message(event.__name__) for event in EVENTS],
    }
    schemas = "#/components/schemas/{name}"
    return {
        "asyncapi": "3.0.0",
        "info": {"title": _TITLE, "version": str(VERSION), "description": "JSON objects over WebSocket or TCP."},
        "defaultContentType": "application/json",
        "channels": {
            "native": {
                "address": "/ws/native",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
            }
        },
        "operations": operations,
        "components": {
            "messages": {name: {"name": name, "payload": {"$ref": schemas.format(name=name)}} for name in names},
            "schemas": without_discriminators(definitions(schemas)),
        },
    }


def without_discriminators(value: Any) -> Any:
    """The schema without discriminator objects, which only OpenAPI has. They are not needed, because each segment also
    names its kind by a constant."""
    if isinstance(value, dict):
        return {key: without_discriminators(inner) for key, inner in value.items() if key != "discriminator"}
    return [without_discriminators(inner) for inner in value] if isinstance(value, list) else value


def _received(one: AnyOperation) -> Schema:
    channel = {"$ref": "#/channels/native"}
    replies = [_message(reply_name(one)), _message("ErrorReply")]
    return {
        "action": "receive",
        "summary": one.text,
        "channel": channel,
        "messages": [_message(command_name(one))],
        "reply": {"channel": channel, "messages": replies},
    }


def _message(name: str) -> Schema:
    return {"$ref": f"#/channels/native/messages/{name}"}


# OpenAPI


def open_api() -> Schema:
    """The document of all operations as HTTP requests. `x-bot-scopes`: the scopes that the token of a bot needs; null
    if bots may not use the operation."""
    schemas = "#/components/schemas/{name}"
    posted = [one for one in OPERATIONS if one.name not in _OF_CONNECTIONS]
    parameters = {one.parameters for one in posted}
    types = sorted({*parameters, *(one.result for one in posted)}, key=lambda struct: struct.__name__)
    _, components = msgspec.json.schema_components([*types, *EVENTS, ErrorInfo], ref_template=schemas)
    components["StreamStart"] = {"type": "object", "properties": {"have": {"type": "string", "examples": [""]}}}
    for struct in parameters:
        components[struct.__name__]["properties"].pop("id")
    events = {"description": "server-sent events", "content": {"text/event-stream": {"schema": _any_event(schemas)}}}
    stream = {
        "operationId": "events",
        "summary": "the events from now on, or after those that the client has",
        "security": [{"token": []}],
        "x-bot-scopes": [TokenScope.READ],
        "parameters": [_cursor("Last-Event-ID", "header"), _cursor("have", "query")],
    }
    paths: Schema = {f"/api/v1/{one.name}": {"post": _posted(one, schemas)} for one in posted}
    paths["/api/v1/events"] = {
        "get": {**stream, "responses": {"200": events, **_ERRORS}},
        "post": {
            **stream,
            "operationId": "events_after",
            "parameters": [],
            "requestBody": {"content": _json_content({"$ref": schemas.format(name="StreamStart")})},
            "responses": {"200": events, **_ERRORS},
        },
    }
    error = {"properties": {"error": {"$ref": schemas.format(name="ErrorInfo")}}, "required": ["error"]}
    seconds = {"description": "seconds", "schema": {"type": "integer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": str(VERSION), "description": "The operations of native by HTTP."},
        "servers": [{"url": "/", "description": "any edge that serves this document"}],
        "paths": {**paths, **_media()},
        "components": {
            "schemas": components,
            "responses": {
                "Error": {"description": "an error", "content": _json_content(error)},
                "Later": {
                    "description": "an error; the same may succeed later",
                    "headers": {"Retry-After": seconds},
                    "content": _json_content(error),
                },
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


_ERRORS: Schema = {
    "default": {"$ref": "#/components/responses/Error"},
    **{status: {"$ref": "#/components/responses/Later"} for status in ("429", "503")},
}


def _media() -> Schema:
    """The paths of OpenAPI for files. The errors of uploads have another form; see docs/build/uploads.md."""
    text = {"type": "string"}
    members: Schema = {name: text for name in ("id", "url", "name", "hash", "mime")}
    stored: Schema = {"type": "object", "properties": {**members, "size": {"type": "integer"}}}
    failed = {"type": "object", "properties": {"error": text, "text": text}}
    name = {"name": "name", "in": "query", "description": "of the file", "schema": text}
    nonce = {"name": "nonce", "in": "query", "description": "a repetition stores nothing again", "schema": text}
    number = {"name": "id", "in": "path", "description": "of the file", "required": True, "schema": text}
    file = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
    return {
        "/media": {
            "post": {
                "operationId": "upload",
                "summary": "store a file, which is the body",
                "security": [{"token": []}],
                "x-bot-scopes": [TokenScope.SEND],
                "parameters": [name, nonce],
                "requestBody": file,
                "responses": {
                    "201": {"description": "stored", "content": _json_content(stored)},
                    "default": {"description": "an error", "content": _json_content(failed)},
                },
            }
        },
        "/media/{id}": {
            "get": {
                "operationId": "download",
                "summary": "a stored file",
                "security": [],
                "x-bot-scopes": [],
                "parameters": [number],
                "responses": {"200": {"description": "the file", **file}, "404": {"description": "there is none"}},
            }
        },
    }


def _cursor(name: str, place: str) -> Schema:
    return {"name": name, "in": place, "description": "an id of a stream of events", "schema": {"type": "string"}}


def _posted(one: AnyOperation, schemas: str) -> Schema:
    result: Schema = {"$ref": schemas.format(name=one.result.__name__)}
    if one.name == "sync":
        result = {"allOf": [result, {"properties": {"events": {"type": "array", "items": _any_event(schemas)}}}]}
    return {
        "operationId": one.name,
        "summary": one.text,
        "security": [{"token": []}] if one.needs_login else [],
        "x-bot-scopes": None if one.scopes is None else sorted(one.scopes),
        "requestBody": {"content": _json_content({"$ref": schemas.format(name=one.parameters.__name__)})},
        "responses": {
            "200": {"description": "done", "content": _json_content(result)},
            **_ERRORS,
        },
    }


def _any_event(schemas: str) -> Schema:
    return {"anyOf": [{"$ref": schemas.format(name=event.__name__)} for event in EVENTS]}


def _json_content(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


# TypeScript


def typescript() -> str:
    shapes = definitions("#/{name}", Parameters, OvertakingParameters)
    bases = bases_of(shapes)
    lines = ["// Made by `python -m docs.generate` from the table of operations. Do not edit.", ""]
    lines += [_declaration(name, shape, bases.get(name), shapes) for name, shape in shapes.items()]
    lines += [f"export type Event = {' | '.join(event.__name__ for event in EVENTS)};\n"]
    lines += ["/** The command and the reply of each operation. */", "export interface Operations {"]
    lines += [f"{_INDENT}{one.name}: [{command_name(one)}, {reply_name(one)}];" for one in OPERATIONS]
    return "\n".join([*lines, "}", ""])


def _declaration(name: str, shape: Schema, base: str | None, shapes: Mapping[str, Schema]) -> str:
    if base is None:
        return f"export type {name} = {_type(shape)};\n"
    own = own_members(shape, base, shapes)
    return f"export interface {name} extends {base} {_object({**shape, 'properties': own}, 0) if own else '{}'}\n"


def _type(shape: Schema, depth: int = 0) -> str:
    for key, separator in (("anyOf", " | "), ("allOf", " & ")):
        if key in shape:
            return separator.join(_type(one, depth) for one in shape[key])
    if "$ref" in shape:
        return str(shape["$ref"]).removeprefix("#/")
    if "const" in shape or "enum" in shape:
        return " | ".join(json.dumps(value) for value in shape.get("enum", [shape.get("const")]))
    return _simple(shape, depth)


def _simple(shape: Schema, depth: int) -> str:
    match shape["type"]:
        case "object" if "properties" in shape:
            return _object(shape, depth)
        case "object":
            return f"Record<string, {_type(shape.get('additionalProperties', {'type': 'unknown'}), depth)}>"
        case "array" if "prefixItems" in shape:
            return f"[{', '.join(_type(one, depth) for one in shape['prefixItems'])}]"
        case "array":
            return f"Array<{_type(shape['items'], depth)}>"
        case "integer":
            return "number"
        case kind:
            return str(kind)


def _object(shape: Schema, depth: int) -> str:
    if not shape["properties"]:
        return "object"
    if len(shape["properties"]) == 1 and "\n" not in (member := "".join(_members(shape, 0))):
        return f"{{ {member[:-1]} }}"
    return "\n".join(["{", *_members(shape, depth + 1), f"{_INDENT * depth}}}"])


def _members(shape: Schema, depth: int) -> Iterator[str]:
    for name, member in shape["properties"].items():
        optional = "" if name in shape.get("required", ()) else "?"
        yield f"{_INDENT * depth}{name}{optional}: {_type(member, depth)};"
