"""The AsyncAPI document of the bus contains every subject that a user of NATS is granted, as a route or as a topic."""

import json

import jsonschema
import pytest

from docs.bus_document import ROUTES, async_api
from shared.contract.permissions import BUS_USERS
from shared.contract.subjects import TOPICS
from tests.docs.test_native_documents import ASYNC_API, references

DOCUMENT = async_api()


def test_every_route_and_topic_of_a_user_is_there() -> None:
    granted = [route for user in BUS_USERS.values() for route in (*user.serves, *user.requests)]
    assert {route.label for route in granted} == {route.label for route in ROUTES}
    assert {topic for user in BUS_USERS.values() for topic in (*user.events, *user.consumes)} == {*TOPICS}
    assert len(DOCUMENT["operations"]) == len(ROUTES) + len(TOPICS)


def test_everything_has_a_sender_and_a_receiver() -> None:
    assert all(operation["x-users"]["send"] for operation in DOCUMENT["operations"].values())
    assert all(operation["x-users"]["receive"] for operation in DOCUMENT["operations"].values())


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        found = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


@pytest.mark.skipif(not ASYNC_API.exists(), reason="the schema is not installed: ./dev setup")
def test_it_follows_the_schema_of_async_api() -> None:
    jsonschema.Draft7Validator(json.loads(ASYNC_API.read_text())).validate(DOCUMENT)
