"""What somebody can ask for, compared with the model: chats, friends, the history, what is unread."""

from contextlib import suppress

from tests.clients.client import RequestRejected
from tests.clients.ourchat_v2 import V2
from tests.clients.pipe import Pipe
from tests.clients.service import Service
from tests.model.device import Device, Differs, learn, same
from tests.model.expected_frames import WORDS, value
from tests.model.model import LOBBY, Chat, Model, Said, Spoken


def look(model: Model, device: Device) -> None:
    """Everything that a client can ask about its person."""
    person, chats = device.person, model.chats_of(device.person.number)
    groups = {number for number, chat in chats.items() if chat.pair is None}
    match device.client:
        case V2() as client:
            seen = {"nickname": person.name, "sessions": set(chats), "friends": person.friends}
            same(device, client.oneself(), seen)
            for number in chats:
                device.list_session(number)
        case Pipe() as client:
            same(device, (client.groups(), client.friends()), (groups, person.friends))
            for number in groups - {LOBBY}:
                name, members = client.group(number)
                same(device, (name, members[0]), (chats[number].name, chats[number].owner))
                same(device, sorted(members), sorted(chats[number].first))
        case Service() as client:
            _look_by_service(model, device, client)
        case _:
            pass


def _look_by_service(model: Model, device: Device, client: Service) -> None:
    chats, seen = model.chats_of(device.person.number), client.chats()
    same(device, set(seen), set(chats))
    for number, chat in chats.items():
        same(device, seen[number]["type"], "chat" if chat.pair is None else "user")
        if number != LOBBY:
            same(device, set(seen[number]["usrs"]), {model.people[one].uuid for one in chat.first})
        if chat.pair is None:
            same(device, seen[number]["name"], chat.name)


def walk(model: Model, device: Device, chat: Chat, code: int, index: int, count: int) -> None:
    """The history, in service's two ways; what it shows is read."""
    assert isinstance(device.client, Service)
    if device.person.number not in chat.first:
        with suppress(RequestRejected):
            device.client.walk(code, chat.number, index, count)
            raise Differs(f"{device} may read {chat.number}")
        return
    wanted = walked(chat, device.person.number, code, index, count)
    seen = [one for one in device.client.walk(code, chat.number, index, count) if one.facts["index"] > chat.before]
    same(device, seen, [value(said, model, named=code == 9) for said in wanted])
    for said, sight in zip(wanted, seen, strict=True):
        learn(said, sight, str(device))
    device.person.unread = [said for said in device.person.unread if said not in wanted]


def walked(chat: Chat, number: int, code: int, index: int, count: int) -> list[Said]:
    """Negative: from that newest on towards older ones; else from there, 3 towards older ones and 9 towards newer."""
    visible = chat.visible(number)
    newest_first = visible[::-1]
    if index < 0:
        start = chat.head + index + 1
        return [said for said in newest_first if said.index <= start][:count]
    if code == 3:
        return [said for said in newest_first if said.index <= index][:count]
    return [said for said in visible if said.index >= index][:count]


def take_unread(model: Model, device: Device, count: int) -> None:
    """The oldest; then they are read."""
    assert isinstance(device.client, Pipe)
    wanted = device.person.unread[:count]
    device.client.take_unread(count)
    seen = [device.client.see() for _ in wanted]
    device.client.friends()  # an answer that comes after all of it
    for said, sight in zip(wanted, seen, strict=True):
        same(device, [sight], WORDS["pipe"](Spoken(said), model))
        learn(said, sight, str(device))
    device.person.unread = device.person.unread[count:]
