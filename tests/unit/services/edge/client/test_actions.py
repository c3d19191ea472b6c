"""The actions that a dialect decodes beside one request for each frame."""

from services.edge.canonical.events import ChatJoined
from shared.contract.ids import ChatId
from tests.unit.services.edge.conftest import Town
from tests.unit.services.edge.devices import Device


async def test_a_local_reply_needs_no_login_and_no_service(town: Town) -> None:
    edge = await town.edge()
    device = Device(edge.endpoint)
    ping = device.say(do="ping")
    assert device.answers == {}, "replies are written in the batch of a tick"
    assert await device.answer(ping) == "pong"


async def test_a_local_reply_keeps_the_order_of_replies(town: Town) -> None:
    await town.edge()
    town.world.room(7, 1, 2)
    device = await town.device(1)
    first = device.say(do="post", chat=7, text="one")
    device.say(do="ping")
    device.say(do="account", account=1)
    last = device.say(do="ping")
    await device.answer(last)
    assert device.answered[-4:] == list(range(first, last + 1))


async def test_requests_of_one_frame_are_answered_in_order(town: Town) -> None:
    await town.edge()
    town.world.room(7, 1, 2)
    device = await town.device(1)
    post = {"do": "post", "chat": 7, "text": "a", "ref": 103}
    rest = [{"do": "watch"}, {"do": "account", "account": 1, "ref": 104}]
    device.say(do="several", frames=[{"do": "chat", "chat": 7, "ref": 101}, {"do": "ping", "ref": 102}, post, *rest])
    await device.answer(104)
    assert device.answered[-4:] == [101, 102, 103, 104]


async def test_disconnect_answers_what_came_before_and_drops_the_rest(town: Town) -> None:
    edge = await town.edge()
    town.world.room(7, 1, 2)
    device = await town.device(1)
    posted = device.say(do="post", chat=7, text="last words")
    quits = device.say(do="quit")
    dropped = device.say(do="post", chat=7, text="too late")
    await device.wire.until(lambda: device.wire.ended)
    assert device.answers[posted] == [7, 1]
    assert device.answered[-1] == quits
    assert dropped not in device.answers
    assert device.wire.closed_with == (1000, "bye")
    assert len(town.world.rooms[ChatId(7)].messages) == 1
    assert not edge.endpoint.clients


async def test_disconnect_before_the_login(town: Town) -> None:
    edge = await town.edge()
    device = Device(edge.endpoint)
    device.say(do="quit")
    await device.wire.until(lambda: device.wire.ended)
    assert device.wire.closed_with == (1000, "bye")


async def test_a_dialect_requests_what_it_lacks_of_an_event(town: Town) -> None:
    await town.edge()
    town.world.room(7, 1, 2)
    device = await town.device(1)
    device.say(do="watch")
    await device.ask(do="ping")
    device.client.notify(ChatJoined(ChatId(7)))
    await device.wire.until(lambda: any(seen.get("re") == "watched" for seen in device.seen))
    assert device.seen[-2:] == [{"event": "ChatJoined", "told": 7}, {"re": "watched", "ok": 7}]
