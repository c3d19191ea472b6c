"""What a client says: committed once, answered once, in order, whatever becomes of envelopes and acknowledgements."""

from tests.services.edge.conftest import Town


async def test_a_message_is_answered_and_others_get_it(town: Town) -> None:
    one, two = await town.edge(), await town.edge()
    town.world.room(7, 1, 2, 3)
    alice, bob, carol = await town.device(1), await town.device(2), await town.device(3, two)
    assert await alice.post(7, "hello") == 1
    await bob.until_texts(7, "hello")
    await carol.until_texts(7, "hello")
    assert alice.messages == []
    assert one is not two
