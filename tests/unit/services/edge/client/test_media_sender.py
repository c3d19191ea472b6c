"""Images and files reach a client in order, at the client's speed, and once. After a failure, they are sent again."""

import asyncio
import base64
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from services.edge.client import media_sender
from services.edge.client.media_sender import split_packages
from shared.contract.body import pack_segments
from shared.contract.edge import ChangeDelivery
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import ChangeKind, Draft, MessageChange, PostMessages
from shared.contract.model import File, Image, Media, Message, Text
from tests.support.waiting import until
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient

CHAT = 7
LOW_WATER = 50_000


@pytest.fixture(autouse=True)
def _shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_sender, "_LOW_WATER_BYTES", LOW_WATER)


async def stored(cluster: EdgeCluster, data: bytes, packages: int = 1) -> Media:
    media = cluster.edges[0].media
    upload = media.start_upload()
    await upload.write(data)
    return await media.store(upload, "file", "notes.bin", packages)


def pattern(size: int) -> bytes:
    return bytes(n * 31 % 251 for n in range(size))


def blob(cluster: EdgeCluster, media: Media) -> Path:
    return cluster.media_directory / "blobs" / media.sha256


def received_by(device: EdgeClient) -> list[Any]:
    """Returns the pushed items: texts as they are, announcements as [packages], and packages as bytes."""
    shown: list[Any] = []
    for seen in device.seen:
        if "message" in seen:
            shown.append(seen["message"][3])
        elif "content" in seen:
            shown.append([seen["content"][3]])
        elif "binary" in seen:
            shown.append(base64.b64decode(seen["binary"]))
    return shown


async def until_received(device: EdgeClient, count: int) -> list[Any]:
    await device.socket.until(lambda: len(received_by(device)) >= count)
    return received_by(device)


async def until_unread(cluster: EdgeCluster, account: int, *indexes: int) -> None:
    await until(lambda: cluster.backend.undelivered(account, CHAT) == list(indexes))


async def until_idle(cluster: EdgeCluster) -> None:
    """Waits until the clients have no running tasks."""
    await until(lambda: not len(cluster.edges[0].context.tasks))


async def test_media_and_texts_are_sent_in_order(cluster: EdgeCluster) -> None:
    (bob,) = await cluster.chat(1, 2, online=[2], confirm_interval_seconds=0.1)
    first, second = await stored(cluster, pattern(1000), 3), await stored(cluster, pattern(10), 1)
    await cluster.message.send_texts(CHAT, 1, "one", Image(first), "two", File(second), "three")
    assert await until_received(bob, 9) == [
        "one", [3], pattern(1000)[:333], pattern(1000)[333:666], pattern(1000)[666:], "two", [1], pattern(10), "three",
    ]  # fmt: skip
    await until_unread(cluster, 2)


async def test_a_transfer_keeps_the_pace_of_its_client_and_other_output_waits(cluster: EdgeCluster) -> None:
    (bob,) = await cluster.chat(1, 2, online=[2], confirm_interval_seconds=0.1)
    media = await stored(cluster, pattern(1_000_000), 100)
    bob.socket.deaf = True
    await cluster.message.send_texts(CHAT, 1, Image(media), "behind")
    sent = bob.send(do="status")
    await until(lambda: bob.socket.unsent() > LOW_WATER)
    await asyncio.sleep(0.05)
    assert bob.socket.unsent() < LOW_WATER + 20_000
    assert cluster.backend.undelivered(2, CHAT) == [1, 2]
    bob.socket.stop_being_deaf()
    shown = await until_received(bob, 102)
    assert (shown[0], b"".join(shown[1:101]), shown[101]) == ([100], pattern(1_000_000), "behind")
    assert await bob.reply_to(sent) == "ServerStatus"
    await until_unread(cluster, 2)


async def test_output_behind_a_transfer_is_bounded_but_the_transfer_is_not(cluster: EdgeCluster) -> None:
    (bob,) = await cluster.chat(1, 2, online=[2], outgoing_bytes=20_000)
    media = await stored(cluster, pattern(200_000), 4)
    bob.socket.deaf = True
    await cluster.message.send_texts(CHAT, 1, Image(media), "x" * 10_000)
    await asyncio.sleep(0.05)
    assert [bob.socket.closed_with] == [None]
    await cluster.message.send_texts(CHAT, 1, "x" * 10_000)
    await bob.socket.until(lambda: bob.socket.closed_with is not None)
    assert bob.socket.closed_with == (1013, "the connection is too slow: reconnect to catch up")
    await until_idle(cluster)


async def test_a_slow_receiver_may_answer_pings_late(cluster: EdgeCluster) -> None:
    """The whole transfer takes longer than the timeout. But the receiver gets some data more often than that."""
    (bob,) = await cluster.chat(1, 2, online=[2], pong_timeout_seconds=1.0, confirm_interval_seconds=0.0)
    media = await stored(cluster, pattern(400_000), 20)
    bob.socket.deaf = bob.socket.mute = True
    await cluster.message.send_texts(CHAT, 1, "before", Image(media))
    await bob.socket.until(lambda: bob.socket.pings > 0)
    for _ in range(16):
        await asyncio.sleep(0.1)
        await bob.socket.until(lambda: bob.socket.unsent() > 0)
        bob.socket.receive_one()
    assert not bob.socket.ended
    await bob.socket.until(lambda: bob.socket.ended)


async def test_concurrent_transfers_of_a_node_are_limited(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob, cem = await cluster.chat(1, 2, 3, online=[2, 3], transfers_at_once=1)
    bob.socket.deaf = True
    media = await stored(cluster, pattern(200_000), 2)
    await cluster.message.send_texts(CHAT, 1, Image(media))
    await until(lambda: bob.socket.unsent() > LOW_WATER)
    await asyncio.sleep(0.05)
    assert received_by(cem) == []
    bob.socket.stop_being_deaf()
    assert await until_received(cem, 3) == [[2], pattern(200_000)[:100_000], pattern(200_000)[100_000:]]
    monkeypatch.setattr(media_sender, "_SLOT_SECONDS", 0.1)
    bob.socket.deaf = True
    await cluster.message.send_texts(CHAT, 1, Image(media), "after")
    assert (await until_received(cem, 5))[3:] == ["notes.bin", "after"]
    bob.socket.vanish()
    await until_idle(cluster)
    await cluster.message.send_texts(CHAT, 1, Image(media))
    assert len(await until_received(cem, 8)) == 8


async def test_media_that_cannot_be_opened_is_sent_as_text_and_logged_once_a_second(cluster: EdgeCluster) -> None:
    (bob,) = await cluster.chat(1, 2, online=[2], confirm_interval_seconds=0.1)
    media = await stored(cluster, pattern(1000))
    blob(cluster, media).unlink()
    with capture_logs() as logs:
        await cluster.message.send_texts(CHAT, 1, *[Image(media)] * 20, "after")
        assert await until_received(bob, 21) == ["notes.bin"] * 20 + ["after"]
    assert 1 <= [line["event"] for line in logs].count("media not opened") < 20
    await until_unread(cluster, 2)


async def test_a_transfer_that_fails_half_way_ends_the_connection_and_is_repeated(cluster: EdgeCluster) -> None:
    (bob,) = await cluster.chat(1, 2, online=[2])
    whole = pattern(600_000)
    media = await stored(cluster, whole, 2)
    blob(cluster, media).write_bytes(whole[:400_000])
    await cluster.message.send_texts(CHAT, 1, "before", Image(media), "after")
    await bob.socket.until(lambda: bob.socket.ended)
    assert bob.socket.closed_with == (1011, "the transfer of a file failed: reconnect to get the file")
    assert received_by(bob) == ["before", [2], whole[:300_000]]
    await until_unread(cluster, 2, 2, 3)
    blob(cluster, media).write_bytes(whole)
    again = await cluster.client(2)
    assert await until_received(again, 4) == [[2], whole[:300_000], whole[300_000:], "after"]


async def test_the_end_of_a_connection_ends_its_transfers(cluster: EdgeCluster) -> None:
    (bob,) = await cluster.chat(1, 2, online=[2])
    bob.socket.deaf = True
    await cluster.message.send_texts(CHAT, 1, Image(await stored(cluster, pattern(300_000), 3)), "behind")
    await until(lambda: bob.socket.unsent() > LOW_WATER)
    bob.socket.vanish()
    await until_idle(cluster)
    assert cluster.backend.undelivered(2, CHAT) == [1, 2]


async def test_another_account_receives_nothing_that_waited_for_the_former(cluster: EdgeCluster) -> None:
    (bob,) = await cluster.chat(1, 2, 3, online=[2], confirm_interval_seconds=0.1)
    bob.socket.deaf = True
    await cluster.message.send_texts(CHAT, 1, Image(await stored(cluster, pattern(300_000), 3)), "behind")
    await until(lambda: bob.socket.unsent() > LOW_WATER)
    sent = bob.send(do="login", account=4)
    await until(lambda: bob.client.connection.account == 4)
    bob.socket.stop_being_deaf()
    assert await bob.reply_to(sent) == 4
    assert received_by(bob) == [[3], *(pattern(300_000)[at : at + 100_000] for at in (0, 100_000, 200_000))]
    await cluster.edges[0].read_state.flush()
    assert cluster.backend.undelivered(2, CHAT) == [1, 2]
    assert cluster.backend.undelivered(4, CHAT) == [1, 2]


async def test_nothing_of_a_recalled_message_is_sent_except_the_rest_of_a_file(cluster: EdgeCluster) -> None:
    (bob,) = await cluster.chat(1, 2, online=[2], confirm_interval_seconds=0.1)
    begun, waiting = await stored(cluster, pattern(200_000), 2), await stored(cluster, pattern(10))
    bob.socket.deaf = True
    body = pack_segments((Image(begun), Text("caption"), Image(waiting)))
    first = cluster.backend.commit(Draft(AccountId(1), ChatId(CHAT), Nonce(1), 2**62, body))
    assert isinstance(first, Message)
    await cluster.message.fan_out([first])
    await cluster.message.send_texts(CHAT, 1, Image(waiting), "text", "kept")
    chats = cluster.edges[0].chats
    await until(lambda: (one := chats.sequencer(ChatId(CHAT))) and one.delivered(4))
    await until(lambda: bob.socket.unsent() > LOW_WATER)
    for index in (1, 2, 3):
        change = MessageChange(ChatId(CHAT), index, index, ChangeKind.RECALL, AccountId(1), 0)
        chats.notify_changed(ChangeDelivery(change, None), None)
    bob.socket.stop_being_deaf()
    assert await until_received(bob, 4) == [[2], pattern(200_000)[:100_000], pattern(200_000)[100_000:], "kept"]
    await until_unread(cluster, 2, 1, 2, 3)


async def test_a_drained_edge_finishes_transfers(cluster: EdgeCluster) -> None:
    (bob,) = await cluster.chat(1, 2, online=[2])
    bob.socket.deaf = True
    await cluster.message.send_texts(CHAT, 1, Image(await stored(cluster, pattern(300_000), 3)))
    gate = cluster.message.block(PostMessages)
    sent = bob.send(do="post", chat=CHAT, text="last words")
    await cluster.message.until_requested(PostMessages)
    gate.set()
    await cluster.message.until_replied()
    draining = asyncio.create_task(cluster.edges[0].drain())
    await asyncio.sleep(0.2)
    assert [bob.socket.closed_with] == [None]
    bob.socket.stop_being_deaf()
    assert await bob.reply_to(sent) == [CHAT, 2]
    await draining
    assert bob.socket.closed_with == (1012, "restarting, please reconnect")
    assert cluster.backend.undelivered(2, CHAT) == []


async def pieces(data: bytes, size: int) -> AsyncGenerator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


@given(data=st.binary(max_size=400), count=st.integers(1, 50), size=st.integers(1, 100))
async def test_packages_are_complete_and_of_even_size(data: bytes, count: int, size: int) -> None:
    parts = [part async for part in split_packages(pieces(data, size), len(data), count)]
    assert b"".join(parts) == data
    sizes = [len(part) for part in parts]
    assert len(sizes) == count
    assert max(sizes) - min(sizes) <= 1


async def test_incomplete_content_is_an_error() -> None:
    parts = split_packages(pieces(b"12345", 2), 6, 2)
    assert await anext(parts) == b"123"
    with pytest.raises(RequestError):
        await anext(parts)
