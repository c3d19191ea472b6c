"""Before any login, a client can request in which ways users can sign in (the entrance)."""

from importlib.metadata import version

from services.edge.app import Edge
from tests.support.waiting import until
from tests.unit.services.edge.client.test_named_messages import NativeClient


async def test_hello_shows_the_entrance(edge: Edge) -> None:
    await until(lambda: edge.auth_state.entrance is not None)
    client = NativeClient(edge)
    hello = await client.reply(client.send(op="hello"))
    assert hello["entrance"] == {"registration": "verified", "recovery": ["mail"], "secret_min": 8}
    assert (hello["build"], hello["features"]) == (version("dragoman"), ["search"])
    edge.auth_state.heard(None)
    assert (await client.reply(client.send(op="hello")))["entrance"] == hello["entrance"]
