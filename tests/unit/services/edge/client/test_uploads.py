"""Files arrive in parts. They are stored once and posted in their place in the order, or dropped without a trace."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.edge.app import Edge
from services.edge.canonical.commands import StartUpload
from services.edge.canonical.frames import Binary
from services.edge.client.uploads import UploadSlots
from services.edge.dialects.base import Request
from services.edge.identicons import avatar_png
from services.edge.media.store import MediaUse
from shared.contract.body import unpack_segments
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import PostMessages
from shared.contract.model import File, Image, Media, Segment, Text
from shared.contract.session import GetAccount, GetChat
from tests.support.waiting import WAIT_SECONDS, until
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient
from tests.unit.services.edge.json_dialect import frame

CHAT = 7


def spooled(cluster: EdgeCluster) -> list[Path]:
    return list((cluster.media_directory / "spool").iterdir())


async def until_nothing_is_spooled(cluster: EdgeCluster) -> None:
    await until(lambda: not spooled(cluster))


def posted(cluster: EdgeCluster, chat: int = CHAT) -> list[tuple[Segment, ...]]:
    return [unpack_segments(message.body) for message in cluster.backend.chats[ChatId(chat)].messages]


async def content(edge: Edge, media: Media) -> bytes:
    return b"".join([chunk async for chunk in edge.media.read(media)])


async def ann(cluster: EdgeCluster, **settings: Any) -> EdgeClient:
    await cluster.add_edge(**settings)
    cluster.backend.add_chat(CHAT, 1, 2)
    return await cluster.client(1)


async def test_a_file_is_posted_in_the_place_of_its_last_part(cluster: EdgeCluster) -> None:
    device = await ann(cluster)
    sent = [
        device.send(do="start", number=5, chat=CHAT), device.send(do="part", number=5, data="one,"),
        device.send(do="post", chat=CHAT, text="meanwhile"), device.send(do="part", number=5, data="two,"),
        device.send(do="last", number=5, data="three", chat=CHAT), device.send(do="post", chat=CHAT, text="after"),
    ]  # fmt: skip
    answers = [await device.reply_to(ref) for ref in sent]
    assert answers == ["Ack", "Ack", [CHAT, 1], "Ack", [CHAT, 2], [CHAT, 3]]
    assert device.replied_refs[-6:] == sent
    first, (file,), last = posted(cluster)
    assert (first, last) == ((Text("meanwhile"),), (Text("after"),))
    assert isinstance(file, File)
    assert await content(cluster.edges[0], file.media) == b"one,two,three"
    assert (file.media.size, file.media.packages) == (13, 3)
    await until_nothing_is_spooled(cluster)


async def test_a_file_of_one_part_is_posted_at_once(cluster: EdgeCluster) -> None:
    device = await ann(cluster)
    sent = device.send(do="last", number=None, data="all", chat=CHAT, kind="image", name="a/b\n|c.txt")
    assert await device.reply_to(sent) == [CHAT, 1]
    ((image,),) = posted(cluster)
    assert isinstance(image, Image)
    assert image.media.name == "b|c.txt"
    await until_nothing_is_spooled(cluster)


async def test_concurrent_uploads_of_a_client_are_limited(cluster: EdgeCluster) -> None:
    device = await ann(cluster)
    for number in range(4):
        assert await device.request(do="start", number=number, chat=CHAT) == "Ack"
    assert await device.request(do="start", number=4, chat=CHAT) == "limit"
    for number in (2, 0):
        await device.request(do="part", number=number, data=f"{number}")
        assert await device.request(do="last", number=number, data=f"{number}", chat=CHAT) == [
            CHAT,
            len(posted(cluster)),
        ]
    files = [segment.media for (segment,) in posted(cluster) if isinstance(segment, File)]
    assert [await content(cluster.edges[0], file) for file in files] == [b"22", b"00"]
    assert await device.request(do="start", number=4, chat=CHAT) == "Ack"


async def test_an_upload_that_may_not_be_posted_is_rejected_at_its_start(cluster: EdgeCluster) -> None:
    device = await ann(cluster)
    cluster.backend.add_chat(99, 2)
    cluster.session.missing_accounts.add(AccountId(99))
    errors = {"chat": "forbidden", "to": "not_found"}
    assert await device.request(do="start", number=1, to=1) == "invalid"
    for place, code in errors.items():
        assert await device.request(do="start", number=1, **{place: 99}) == code
        assert await device.request(do="part", number=1, data="x") == "conflict"
    assert await device.request(do="last", number=1, data="x", chat=99) == "conflict"
    assert len(cluster.session.requests_of(GetChat)) == len(cluster.session.requests_of(GetAccount)) == 1
    assert [*posted(cluster), *spooled(cluster)] == []


async def test_known_chats_are_not_requested(cluster: EdgeCluster) -> None:
    device = await ann(cluster)
    await device.until_synced()
    assert await device.request(do="start", number=1, chat=CHAT) == "Ack"
    assert cluster.session.requests_of(GetChat) == []


@pytest.mark.parametrize("end", ["drop", "login", "leave", "vanish", "too large"])
async def test_a_dropped_upload_leaves_nothing_behind(cluster: EdgeCluster, end: str) -> None:
    device = await ann(cluster, limits={"rates": False, "file_bytes": 10})
    await device.request(do="start", number=1, chat=CHAT)
    await device.request(do="part", number=1, data="12345")
    assert len(spooled(cluster)) == 1
    match end:
        case "drop":
            assert await device.request(do="drop", number=1) == "too_large"
        case "login":
            await device.login(1)
        case "too large":
            assert await device.request(do="part", number=1, data="678901") == "too_large"
        case _:
            getattr(device.socket, end)()
    await until_nothing_is_spooled(cluster)
    if not device.socket.ended:
        assert await device.request(do="last", number=1, data="6", chat=CHAT) == "conflict"
    assert posted(cluster) == []


async def test_an_upload_that_starts_while_its_connection_ends_leaves_nothing_behind(cluster: EdgeCluster) -> None:
    device = await ann(cluster)
    gate = cluster.session.block(GetAccount)
    device.send(do="start", number=1, to=2)
    await cluster.session.until_requested(GetAccount)
    device.socket.vanish()
    gate.set()
    await until(lambda: not len(cluster.edges[0].context.tasks))
    assert spooled(cluster) == []


async def test_an_idle_upload_is_dropped_with_an_error_reply(cluster: EdgeCluster) -> None:
    device = await ann(cluster, upload_idle_seconds=0.6)
    device.client.frame_received(frame(do="start", number=1, chat=CHAT))
    assert await device.request(do="start", number=2, chat=CHAT) == "Ack"
    async with asyncio.timeout(WAIT_SECONDS):
        while {"re": None, "error": "invalid"} not in device.seen:
            await device.request(do="part", number=2, data="still coming")
            await asyncio.sleep(0.05)
    assert await device.request(do="part", number=1, data="too late") == "conflict"
    assert await device.request(do="last", number=2, data=".", chat=CHAT) == [CHAT, 1]
    await until_nothing_is_spooled(cluster)


async def test_unfinished_uploads_of_an_account_take_no_more_than_its_quota(cluster: EdgeCluster) -> None:
    device = await ann(cluster, media={"account_bytes_per_day": 10})
    for number in (1, 2):
        assert await device.request(do="start", number=number, chat=CHAT) == "Ack"
    assert await device.request(do="part", number=1, data="123456") == "Ack"
    assert await device.request(do="part", number=2, data="12345") == "limit"
    assert await device.request(do="part", number=2, data="1") == "conflict", "it was given up"
    assert await device.request(do="last", number=1, data="7890", chat=CHAT) == [CHAT, 1]
    assert await device.request(do="start", number=3, chat=CHAT) == "limit"


async def test_an_upload_that_starts_while_its_client_leaves_counts_no_more(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge = await cluster.add_edge(media={"account_bytes_per_day": 10})
    slots, requested, answered = UploadSlots(edge.media), asyncio.Event(), asyncio.Event()

    async def check_quota(_: AccountId) -> None:
        requested.set()
        await answered.wait()

    monkeypatch.setattr(edge.media, "check_quota", check_quota)
    start = Request(StartUpload(1, ChatId(CHAT), data=b"123456"))
    starting = asyncio.create_task(slots.start(start, AccountId(1), 0.0))
    await asyncio.wait_for(requested.wait(), WAIT_SECONDS)
    slots.drop_all()
    answered.set()
    with pytest.raises(RequestError):
        await starting
    await until_nothing_is_spooled(cluster)
    other = edge.media.start_upload(AccountId(1))
    await other.write(b"1234567890")
    other.drop()


async def test_a_client_with_too_many_queued_bytes_is_not_read(cluster: EdgeCluster) -> None:
    device = await ann(cluster, incoming_bytes=100_000)
    await device.until_synced()
    gate = cluster.session.block(GetAccount)
    device.send(do="account", account=2)
    await cluster.session.until_requested(GetAccount)
    device.send(do="start", number=1, chat=CHAT)
    device.client.frame_received(Binary(b"part" * 20_000))
    reading = [device.socket.reading]
    device.client.frame_received(Binary(b"part" * 20_000))
    reading.append(device.socket.reading)
    last = device.send(do="last", number=1, data="", chat=CHAT)
    gate.set()
    assert await device.reply_to(last) == [CHAT, 1]
    assert [*reading, device.socket.reading] == [True, False, True]


async def test_referenced_media_is_described_by_its_record(cluster: EdgeCluster) -> None:
    device = await ann(cluster)
    await device.request(do="last", number=None, data="all", chat=CHAT, name="mine.txt")
    ((file,),) = posted(cluster)
    assert isinstance(file, File)
    assert await device.request(do="cite", chat=CHAT, id=file.media.id) == [CHAT, 2]
    assert await device.request(do="cite", chat=CHAT, id=file.media.id, name="../yours.txt") == [CHAT, 3]
    shown = [segments[1] for segments in posted(cluster)[1:]]
    media = file.media
    renamed = Media(media.id, "yours.txt", media.size, media.sha256, media.mime, media.packages)
    assert shown == [Image(media), Image(renamed)]


@pytest.mark.parametrize(("content", "kind"), [(avatar_png("account", 7), Image), (b"text", File)])
async def test_the_content_decides_whether_a_file_is_a_picture(
    cluster: EdgeCluster, content: bytes, kind: type[Image | File]
) -> None:
    device = await ann(cluster)
    upload = cluster.edges[0].media.start_upload()
    await upload.write(content)
    media = await cluster.edges[0].media.store(upload, "file", "me")
    assert await device.request(do="attach", chat=CHAT, id=media.id) == [CHAT, 1]
    assert posted(cluster) == [(kind(media),)]


async def test_media_that_is_not_found_in_time_is_not_posted(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = await ann(cluster, request_seconds=0.2)
    await device.until_synced()

    async def never(id: str, use: MediaUse) -> Media | None:
        await asyncio.Event().wait()
        return None

    monkeypatch.setattr(cluster.edges[0].media, "mark_used", never)
    assert await device.request(do="cite", chat=CHAT, id="0" * 32) == "unavailable"


async def test_unknown_media_is_rejected_and_other_messages_are_posted(cluster: EdgeCluster) -> None:
    device = await ann(cluster)
    sent = [
        device.send(do="post", chat=CHAT, text="one"), device.send(do="cite", chat=CHAT, id="0" * 32),
        device.send(do="post", chat=CHAT, text="two"),
    ]  # fmt: skip
    assert [await device.reply_to(ref) for ref in sent] == [[CHAT, 1], "invalid", [CHAT, 2]]
    assert len(cluster.message.requests_of(PostMessages)) == 2


async def test_an_upload_that_replaces_another_takes_its_place(cluster: EdgeCluster) -> None:
    """Four uploads are open, which is the limit. The fifth replaces the first."""
    device = await ann(cluster)
    for number in range(1, 5):
        assert await device.request(do="start", number=number, chat=CHAT) == "Ack"
    assert await device.request(do="start", number=5, chat=CHAT) == "limit"
    assert await device.request(do="start", number=6, chat=CHAT, replaces=1) == "Ack"
    assert await device.request(do="last", number=6, data="new", chat=CHAT) == [CHAT, 1]
    ((file,),) = posted(cluster)
    assert isinstance(file, File)
    assert await content(cluster.edges[0], file.media) == b"new"
