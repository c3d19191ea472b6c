"""What happens between people is told to who is here and has words for it, and what was kept is told at login."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.edge.canonical.transport import Handshake
from shared.bus.client import pack
from shared.contract import subjects
from shared.contract.edge import ChatCreated, MembershipAnswered, Notice, Notify
from shared.contract.ids import AccountId, ChatId
from shared.contract.session import (
    Ack,
    DropPendingNotices,
    ListPendingNotices,
    ListRequests,
    PendingFriendship,
    PendingMembership,
    PendingNotice,
    PendingNotices,
    Requests,
)
from tests.unit.services.edge.conftest import Town
from tests.unit.services.edge.devices import PATIENCE_SECONDS, Wire
from tests.unit.services.edge.fake_services import Neighbour

ANN, BOB, CHAT = AccountId(1), AccountId(2), ChatId(7)
PUT_IN = {"group_id": CHAT, "group_name": "g", "ocid": BOB}
LOGINS = {
    "ourchat-v0": '{"code": 6, "data": {"ocId": "0000000002", "password": "right"}}',
    "ourchat-v1": '{"code": 6, "time": 0, "data": {"account": 2, "password": "right"}}',
    "ourchat-v2": '{"code": 6, "login_type": 1, "account": "0000000002", "password": "right"}',
    "pipe": "login|2|right",
}


class Files(Neighbour):
    """Session's lists of what waits for an account."""

    def __init__(self, town: Town) -> None:
        super().__init__("session", town.nats)
        self.requests = Requests([], [])
        self.kept: list[PendingNotice] = []
        self.bus.serve(subjects.LIST_REQUESTS, self._requests, queue="session")
        self.bus.serve(subjects.LIST_PENDING_NOTICES, self._list, queue="session")
        self.bus.serve(subjects.DROP_PENDING_NOTICES, self._drop, queue="session")

    async def _requests(self, request: ListRequests) -> Requests:
        return self.requests

    async def _list(self, request: ListPendingNotices) -> PendingNotices:
        return PendingNotices(self.kept)

    async def _drop(self, request: DropPendingNotices) -> Ack:
        await self.note(request)
        return Ack()


@pytest.fixture
async def files(town: Town) -> AsyncIterator[Files]:
    await town.edge()
    files = Files(town)
    await files.bus.start()
    yield files
    await files.bus.stop()


async def enter(town: Town, dialect: str) -> Wire:
    """Bob, logged in."""
    wire = Wire()
    wire.client = town.edges[0].endpoint.connected(Handshake(f"/ws/{dialect}", "h", "192.0.2.1", False, (), ""), wire)
    wire.client.frame_received(LOGINS[dialect].encode())
    await wire.until(lambda: bool(wire.received))
    return wire


def told(wire: Wire) -> list[tuple[int, Any]]:
    """Code and data of what came after the login."""
    frames = [json.loads(frame) for frame in wire.received[1:]]
    return [(frame["code"], frame["data"]) for frame in frames]


async def tell(files: Files, notice: Notice) -> None:
    await files.bus.publish(subjects.NOTIFY_ALL, pack(Notify(notice, [ANN, BOB])))


async def test_who_is_put_into_a_group_is_told_as_if_accepted(town: Town, files: Files) -> None:
    wire = await enter(town, "ourchat-v1")
    await tell(files, ChatCreated(CHAT, ANN, [ANN, BOB], 1, "g", {BOB: 70}))
    await wire.until(lambda: len(wire.received) > 1)
    assert told(wire) == [(10, PUT_IN)]
    await files.until_asked(DropPendingNotices)
    assert files.asked == [DropPendingNotices([70], BOB)]


async def test_of_a_chat_that_nobody_was_put_into_nothing_is_said(town: Town, files: Files) -> None:
    wire = await enter(town, "ourchat-v1")
    await tell(files, ChatCreated(CHAT, ANN, [ANN, BOB]))
    await tell(files, MembershipAnswered(CHAT, "g", BOB, accepted=True))
    await wire.until(lambda: len(wire.received) > 1)
    assert told(wire) == [(10, PUT_IN)]


@pytest.mark.parametrize("dialect", ["ourchat-v0", "ourchat-v2", "pipe"])
async def test_dialects_without_words_for_it_say_nothing_and_it_stays_kept(
    town: Town, files: Files, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told at the next login in one that has them."""
    monkeypatch.setattr("services.edge.login.login._UNREAD_SECONDS", 0.1)
    silent = await enter(town, dialect)
    await tell(files, ChatCreated(CHAT, ANN, [ANN, BOB], 1, "g", {BOB: 70}))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while CHAT not in town.edges[0].residents.by_account[BOB].chats:
            await asyncio.sleep(0.002)
    assert all(b"group_name" not in frame for frame in silent.received)
    files.kept = [PendingNotice(70, pack(MembershipAnswered(CHAT, "g", BOB, accepted=True)))]
    wire = await enter(town, "ourchat-v1")
    await wire.until(lambda: len(wire.received) > 1)
    assert told(wire) == [(10, PUT_IN)]
    await files.until_asked(DropPendingNotices)
    assert files.asked == [DropPendingNotices([70], BOB)]


async def test_requests_that_wait_are_told_before_what_was_kept(town: Town, files: Files) -> None:
    files.requests = Requests([PendingFriendship(ANN, "hi")], [PendingMembership(ANN, CHAT, "let me in")])
    files.kept = [PendingNotice(70, pack(MembershipAnswered(CHAT, "g", BOB, accepted=False)))]
    wire = await enter(town, "ourchat-v1")
    await wire.until(lambda: len(wire.received) > 3)
    assert told(wire) == [
        (9, {"add_ocid": BOB, "ocid": ANN, "text": "hi"}),
        (9, {"group_id": CHAT, "ocid": ANN, "text": "let me in"}),
        (11, {"group_id": CHAT, "ocid": BOB}),
    ]
