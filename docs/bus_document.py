"""Makes the AsyncAPI 3 document of all NATS subjects from the routes, the topics and the NATS users."""

import json
from typing import Any

import msgspec

from docs.native_documents import without_discriminators
from shared.contract import subjects
from shared.contract.errors import Failure
from shared.contract.ids import NodeId
from shared.contract.permissions import BUS_USERS
from shared.contract.routes import Route
from shared.contract.subjects import TOPICS, Topic

Schema = dict[str, Any]

_DESCRIPTION = """Requests and durable events on NATS. A payload is msgpack of the given shape; what is a string of
base64 here is binary there. A reply begins with one byte: `+` before a result, `-` before a Failure. Subjects without a
reply are in `shared/contract/subjects.py` alone."""
_PAYLOADS = "#/components/schemas/{name}"
ROUTES: tuple[Route, ...] = (  # type: ignore[type-arg]
    *subjects.ROUTES,
    subjects.flush(NodeId("{node}")), subjects.recording(NodeId("{node}")), subjects.post("{replica}"),
    subjects.change("{replica}"),
)  # fmt: skip


def bus_document() -> str:
    return json.dumps(async_api(), indent=1, ensure_ascii=False) + "\n"


def async_api() -> Schema:
    """The document of all services. `x-users` of a route or topic names the NATS users that send on the subject, and
    those that receive. The subject of a reply is named in its request."""
    types = [*(route.request for route in ROUTES), *(route.reply for route in ROUTES), Failure]
    types += [topic.event for topic in TOPICS]
    _, schemas = msgspec.json.schema_components(types, ref_template=_PAYLOADS)
    replies = {f"{_name(route)}.reply": {"payload": _payload(route.reply)} for route in ROUTES}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Dragoman bus", "version": "1", "description": " ".join(_DESCRIPTION.split())},
        "defaultContentType": "application/msgpack",
        "channels": {
            **{_name(route): _channel(route.subject, _name(route), route.request) for route in ROUTES},
            **{topic.subject: _channel(topic.subject, topic.subject, topic.event) for topic in TOPICS},
            "replies": {"address": None, "messages": {**replies, "Failure": {"payload": _payload(Failure)}}},
        },
        "operations": {
            **{_name(route): _served(route) for route in ROUTES},
            **{topic.subject: _consumed(topic) for topic in TOPICS},
        },
        "components": {"schemas": without_discriminators(schemas)},
    }


def _name(route: Route) -> str:  # type: ignore[type-arg]
    return route.subject.replace("{", "").replace("}", "")


def _payload(shape: Any) -> Schema:
    """The schema of a struct, or of a union of structs."""
    (schema,), _ = msgspec.json.schema_components([shape], ref_template=_PAYLOADS)
    payload: Schema = without_discriminators(schema)
    return payload


def _channel(address: str, message: str, shape: Any) -> Schema:
    parameters: Schema = {word[1:-1]: {} for word in address.split(".") if word.startswith("{")}
    return {"address": address, "parameters": parameters, "messages": {message: {"payload": _payload(shape)}}}


def _served(route: Route) -> Schema:  # type: ignore[type-arg]
    name = _name(route)
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{name}"},
        "x-users": {
            "send": [user for user, grants in BUS_USERS.items() if _is_in(route, grants.requests)],
            "receive": [user for user, grants in BUS_USERS.items() if _is_in(route, grants.serves)],
        },
        "reply": {
            "address": {"location": "$message.header#/reply"},
            "channel": {"$ref": "#/channels/replies"},
            "messages": [{"$ref": f"#/channels/replies/messages/{one}"} for one in (f"{name}.reply", "Failure")],
        },
    }


def _consumed(topic: Topic) -> Schema:  # type: ignore[type-arg]
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{topic.subject}"},
        "x-users": {
            "send": [user for user, grants in BUS_USERS.items() if topic in grants.events],
            "receive": [user for user, grants in BUS_USERS.items() if topic in grants.consumes],
        },
    }


def _is_in(route: Route, granted: tuple[Route, ...]) -> bool:  # type: ignore[type-arg]
    """Whether the grants contain the route. A grant has `*` in place of a variable part."""
    return route.label in [one.label for one in granted]
