"""Files that come in parts: kept once, said in their place, or given up without a trace."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.edge.app import Edge
from services.edge.canonical.frames import Binary
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import PostMessages
from shared.contract.model import File, Image, Media, Segment, Text, unpack_segments
from shared.contract.session import GetAccount, GetChat
from tests.unit.services.edge.conftest import Town
from tests.unit.services.edge.devices import PATIENCE_SECONDS, Device
from tests.unit.services.edge.json_dialect import frame

CHAT = 7


def spooled(town: Town) -> list[Path]:
    return list((town.files / "spool").iterdir())


async def until_nothing_is_spooled(town: Town) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while spooled(town):
            await asyncio.sleep(0.002)


def said(town: Town, chat: int = CHAT) -> list[tuple[Segment, ...]]:
    return [unpack_segments(message.body) for message in town.world.rooms[ChatId(chat)].messages]


async def content(edge: Edge, media: Media) -> bytes:
    return b"".join([chunk async for chunk in edge.media.read(media)])


async def ann(town: Town, **settings: Any) -> Device:
    await town.edge(**settings)
    town.world.room(CHAT, 1, 2)
    return await town.device(1)


async def test_a_file_is_said_where_its_last_part_came(town: Town) -> None:
    device = await ann(town)
    asked = [
        device.say(do="start", number=5, chat=CHAT), device.say(do="part", number=5, data="one,"),
        device.say(do="post", chat=CHAT, text="meanwhile"), device.say(do="part", number=5, data="two,"),
        device.say(do="last", number=5, data="three", chat=CHAT), device.say(do="post", chat=CHAT, text="after"),
    ]  # fmt: skip
    answers = [await device.answer(ref) for ref in asked]
    assert answers == ["Ack", "Ack", [CHAT, 1], "Ack", [CHAT, 2], [CHAT, 3]]
    assert device.answered[-6:] == asked
    first, (file,), last = said(town)
    assert (first, last) == ((Text("meanwhile"),), (Text("after"),))
    assert isinstance(file, File)
    assert await content(town.edges[0], file.media) == b"one,two,three"
    assert (file.media.size, file.media.packages) == (13, 3)
    await until_nothing_is_spooled(town)


async def test_a_file_of_one_part_is_said_at_once(town: Town) -> None:
    device = await ann(town)
    asked = device.say(do="last", number=None, data="all", chat=CHAT, kind="image", name="a/b\n|c.txt")
    assert await device.answer(asked) == [CHAT, 1]
    ((image,),) = said(town)
    assert isinstance(image, Image)
    assert image.media.name == "b|c.txt"
    await until_nothing_is_spooled(town)


async def test_several_files_come_side_by_side_but_not_many(town: Town) -> None:
    device = await ann(town)
    for number in range(4):
        assert await device.ask(do="start", number=number, chat=CHAT) == "Ack"
    assert await device.ask(do="start", number=4, chat=CHAT) == "limit"
    for number in (2, 0):
        await device.ask(do="part", number=number, data=f"{number}")
        assert await device.ask(do="last", number=number, data=f"{number}", chat=CHAT) == [CHAT, len(said(town))]
    files = [segment.media for (segment,) in said(town) if isinstance(segment, File)]
    assert [await content(town.edges[0], file) for file in files] == [b"22", b"00"]
    assert await device.ask(do="start", number=4, chat=CHAT) == "Ack"


async def test_who_may_not_say_it_there_is_told_before_it_comes(town: Town) -> None:
    device = await ann(town)
    town.world.room(99, 2)
    town.session.nobody.add(AccountId(99))
    refusals = {"chat": "forbidden", "to": "not_found"}
    for place, code in refusals.items():
        assert await device.ask(do="start", number=1, **{place: 99}) == code
        assert await device.ask(do="part", number=1, data="x") == "conflict"
    assert await device.ask(do="last", number=1, data="x", chat=99) == "conflict"
    assert len(town.session.of(GetChat)) == len(town.session.of(GetAccount)) == 1
    assert [*said(town), *spooled(town)] == []


async def test_what_the_edge_knows_is_not_asked_for(town: Town) -> None:
    device = await ann(town)
    await device.synced()
    assert await device.ask(do="start", number=1, chat=CHAT) == "Ack"
    assert town.session.of(GetChat) == []


@pytest.mark.parametrize("end", ["drop", "login", "leave", "vanish", "too large"])
async def test_what_is_given_up_leaves_nothing_behind(town: Town, end: str) -> None:
    device = await ann(town, limits={"rates": False, "file_bytes": 10})
    await device.ask(do="start", number=1, chat=CHAT)
    await device.ask(do="part", number=1, data="12345")
    assert len(spooled(town)) == 1
    match end:
        case "drop":
            assert await device.ask(do="drop", number=1) == "too_large"
        case "login":
            await device.login(1)
        case "too large":
            assert await device.ask(do="part", number=1, data="678901") == "too_large"
        case _:
            getattr(device.wire, end)()
    await until_nothing_is_spooled(town)
    if not device.wire.ended:
        assert await device.ask(do="last", number=1, data="6", chat=CHAT) == "conflict"
    assert said(town) == []


async def test_a_file_that_begins_while_its_connection_ends_leaves_nothing_behind(town: Town) -> None:
    device = await ann(town)
    gate = town.session.close(GetAccount)
    device.say(do="start", number=1, to=2)
    await town.session.until_asked(GetAccount)
    device.wire.vanish()
    gate.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(town.edges[0].context.tasks):
            await asyncio.sleep(0.002)
    assert spooled(town) == []


async def test_half_a_file_is_given_up_after_a_while_and_its_client_is_told(town: Town) -> None:
    device = await ann(town, upload_idle_seconds=0.6)
    device.client.frame_received(frame(do="start", number=1, chat=CHAT))
    assert await device.ask(do="start", number=2, chat=CHAT) == "Ack"
    async with asyncio.timeout(PATIENCE_SECONDS):
        while {"re": None, "error": "invalid"} not in device.seen:
            await device.ask(do="part", number=2, data="still coming")
            await asyncio.sleep(0.05)
    assert await device.ask(do="part", number=1, data="too late") == "conflict"
    assert await device.ask(do="last", number=2, data=".", chat=CHAT) == [CHAT, 1]
    await until_nothing_is_spooled(town)


async def test_many_bytes_that_wait_are_not_read_on(town: Town) -> None:
    device = await ann(town, incoming_bytes=100_000)
    await device.synced()
    gate = town.session.close(GetAccount)
    device.say(do="account", account=2)
    await town.session.until_asked(GetAccount)
    device.say(do="start", number=1, chat=CHAT)
    device.client.frame_received(Binary(b"part" * 20_000))
    reading = [device.wire.reading]
    device.client.frame_received(Binary(b"part" * 20_000))
    reading.append(device.wire.reading)
    last = device.say(do="last", number=1, data="", chat=CHAT)
    gate.set()
    assert await device.answer(last) == [CHAT, 1]
    assert [*reading, device.wire.reading] == [True, False, True]


# What is cited


async def test_what_is_cited_is_described_by_its_record_alone(town: Town) -> None:
    device = await ann(town)
    await device.ask(do="last", number=None, data="all", chat=CHAT, name="mine.txt")
    ((file,),) = said(town)
    assert isinstance(file, File)
    assert await device.ask(do="cite", chat=CHAT, id=file.media.id) == [CHAT, 2]
    assert await device.ask(do="cite", chat=CHAT, id=file.media.id, name="../yours.txt") == [CHAT, 3]
    shown = [segments[1] for segments in said(town)[1:]]
    media = file.media
    renamed = Media(media.id, "yours.txt", media.size, media.sha256, media.mime, media.packages)
    assert shown == [Image(media), Image(renamed)]


async def test_what_is_not_found_in_time_is_not_said(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    device = await ann(town, request_seconds=0.2)
    await device.synced()

    async def never(id: str) -> Media | None:
        await asyncio.Event().wait()
        return None

    monkeypatch.setattr(town.edges[0].media, "find", never)
    assert await device.ask(do="cite", chat=CHAT, id="0" * 32) == "unavailable"


async def test_what_is_nowhere_cannot_be_cited_and_spoils_nothing_else(town: Town) -> None:
    device = await ann(town)
    asked = [
        device.say(do="post", chat=CHAT, text="one"), device.say(do="cite", chat=CHAT, id="0" * 32),
        device.say(do="post", chat=CHAT, text="two"),
    ]  # fmt: skip
    assert [await device.answer(ref) for ref in asked] == [[CHAT, 1], "invalid", [CHAT, 2]]
    assert len(town.message.of(PostMessages)) == 2
