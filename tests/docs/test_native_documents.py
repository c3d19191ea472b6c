"""The generated documents of the dialect native match the frames of its vectors, and contain no broken references.

A *vector* is a frame as data, beside the value that it stands for.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from docs.native_documents import async_api, documents, json_schema, open_api
from services.edge.dialects.base import DISCONNECTED, LOGGED_OUT, NO_LOGIN, TOO_MANY_REQUESTS, ConnectionInfo
from services.edge.dialects.native import Native
from services.edge.dialects.native.events import EVENTS
from services.edge.dialects.native.operations import BY_NAME, OPERATIONS
from shared.settings.limits import LimitsSettings
from tests.vectors import Vector, load

WEB = Path(__file__).parents[2]
ASYNC_API = WEB / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"
OPEN_API = WEB / "node_modules" / "@apidevtools" / "openapi-schemas" / "schemas" / "v3.1" / "schema.json"
SCHEMA = json_schema()
EVENT_NAMES = {event.__struct_config__.tag: event.__name__ for event in EVENTS}
VECTORS = load("native").vectors


def frames(vector: Vector) -> Iterator[tuple[str, Any]]:
    """Yields the frames of a vector, each with the name of its shape."""
    name = vector.frame.get("op", "") if isinstance(vector.frame, dict) else ""
    shape = "".join(word.capitalize() for word in name.split("_"))
    if vector.error is None and name in BY_NAME:
        yield f"{shape}Command", vector.frame
    out = list(vector.out or ())
    out += [frame for request in vector.all_requests for reply in request.replies for frame in reply.out]
    out += [frame for action in vector.frame_actions for frame in action.reply or ()]
    for frame in out:
        if "ev" in frame:
            yield EVENT_NAMES[frame["ev"]], frame
        else:
            yield ("ErrorReply" if "error" in frame else f"{shape}Reply"), frame


FRAMES = [one for vector in VECTORS for one in frames(vector)]


@cache
def validator(shape: str) -> jsonschema.Draft202012Validator:
    schema = {"$schema": SCHEMA["$schema"], "$ref": f"#/$defs/{shape}", "$defs": SCHEMA["$defs"]}
    return jsonschema.Draft202012Validator(schema)


def check(shape: str, frame: Any) -> None:
    validator(shape).validate(frame)


def test_a_frame_of_the_vectors_is_valid() -> None:
    assert len(FRAMES) > 400
    for shape, frame in FRAMES:
        check(shape, frame)


def test_every_event_is_in_a_vector() -> None:
    """The vectors lack only the event `cursor` of an event stream, which
    tests/unit/services/edge/http/test_event_stream.py tests.
    """
    shown = {frame["ev"] for vector in VECTORS for _, frame in frames(vector) if "ev" in frame}
    assert shown | {"cursor"} == EVENT_NAMES.keys()


def test_the_first_event_of_a_resumed_stream_is_valid() -> None:
    """The first event has the form of a reply to a sync."""
    replies = [frame for shape, frame in FRAMES if shape == "SyncReply"]
    assert replies
    for frame in replies:
        check("ResumedEvent", {"ev": "resumed", **{name: value for name, value in frame.items() if name != "re"}})


@pytest.mark.parametrize(
    "close",
    [*((1008, reason) for reason in (LOGGED_OUT, TOO_MANY_REQUESTS, NO_LOGIN, DISCONNECTED)), (1012, "x"), (1013, "x")],
)
def test_the_event_before_a_close_is_valid(close: tuple[int, str]) -> None:
    (frame,) = Native(ConnectionInfo(LimitsSettings(), "http://chat.example")).encode_close(*close)[0]
    assert isinstance(frame, bytes)
    check("ByeEvent", json.loads(frame))


@pytest.mark.parametrize(
    "frame", [{"op": "send", "id": 1, "chat": 5, "text": "x"}, {"op": "send", "nonce": "n" * 65}, {"op": "read"}]
)
def test_a_wrong_command_is_not_valid(frame: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check(f"{frame['op'].capitalize()}Command", frame)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (one for key, one in value.items() if key == "$ref")
        value = list(value.values())
    for one in value if isinstance(value, list) else ():
        yield from references(one)


@pytest.mark.parametrize("document", [SCHEMA, async_api(), open_api()], ids=["JSON Schema", "AsyncAPI", "OpenAPI"])
def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in references(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def test_open_api_has_the_operations_that_need_no_connection() -> None:
    document = open_api()
    paths = {path.removeprefix("/api/v1/") for path in document["paths"] if path.startswith("/api/")}
    assert paths == {*BY_NAME, "events"} - {"token", "verify_mail", "watch", "here"}
    for operation in OPERATIONS:
        if (path := document["paths"].get(f"/api/v1/{operation.name}")) is not None:
            assert path["post"]["security"] == ([{"token": []}] if operation.needs_login else [])
            scopes = path["post"]["x-bot-scopes"]
            assert (None if scopes is None else {*scopes}) == operation.scopes
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_a_command_of_the_vectors_is_a_valid_body() -> None:
    document, checked = open_api(), 0
    for shape, frame in FRAMES:
        if shape.endswith("Command") and (path := document["paths"].get(f"/api/v1/{frame['op']}")) is not None:
            body = path["post"]["requestBody"]["content"]["application/json"]["schema"]
            schema = {"$schema": SCHEMA["$schema"], **body, "components": document["components"]}
            members = {name: value for name, value in frame.items() if name not in ("op", "id")}
            jsonschema.Draft202012Validator(schema).validate(members)
            checked += 1
    assert checked > 100


def test_async_api_has_every_operation_and_event() -> None:
    document = async_api()
    assert set(document["operations"]) == {*BY_NAME, "events"}
    assert len(document["operations"]["events"]["messages"]) == len(EVENTS)
    assert {one["action"] for one in document["operations"].values()} == {"receive", "send"}


@pytest.mark.skipif(not ASYNC_API.exists(), reason="the schema is not installed: ./dev setup")
def test_async_api_follows_its_schema() -> None:
    validator = jsonschema.Draft7Validator(json.loads(ASYNC_API.read_text()))
    validator.validate(async_api())
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(async_api() | {"operations": []})


@pytest.mark.skipif(not OPEN_API.exists(), reason="the schema is not installed: ./dev setup")
def test_open_api_follows_its_schema() -> None:
    """The schema of OpenAPI does not check the schemas inside a document. The tests above check them."""
    validator = jsonschema.Draft202012Validator(json.loads(OPEN_API.read_text()))
    validator.validate(open_api())
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(open_api() | {"paths": []})


def test_types_name_only_what_is_defined() -> None:
    text = documents()["clients/javascript/native.d.ts"]
    defined = set(re.findall(r"^export (?:type|interface) (\w+)", text, re.MULTILINE))
    code = re.sub(r'"[^"]*"|/\*.*?\*/|//.*', "", text)
    used = set(re.findall(r"\b[A-Z]\w+", code)) - {"Array", "Record"}
    assert used <= defined
    assert code.count("{") == code.count("}")
    assert all(f"{operation.name}: [" in text for operation in OPERATIONS)


def test_documents_are_json() -> None:
    assert all(json.loads(text) for name, text in documents().items() if name.endswith(".json"))
