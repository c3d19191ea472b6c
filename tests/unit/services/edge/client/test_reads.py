"""In dialects whose replies have ids, a slow read delays only requests that depend on it."""

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from services.edge.canonical.commands import Command, ReadHistory, holds_back
from services.edge.client.session import LoginSession
from services.edge.dialects.base import Request
from services.edge.handlers.dispatcher import Dispatcher
from shared.contract.auth import DeleteAccount
from shared.contract.contacts import SetBlocked
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import ChatId
from shared.contract.message import ChangeMessage, GetChanges, React
from shared.contract.receipts import FindReactors, FindReaders
from shared.contract.routes import Ack
from shared.contract.session import GetAccount
from tests.support.waiting import until
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient
from tests.unit.services.edge.json_dialect import JsonDialect

CHAT = 5


class SlowServices:
    """A fake backend in which commands of these kinds wait until they are released."""

    def __init__(self, *slow: type) -> None:
        self.begun: list[Command] = []
        self._slow = slow
        self.waiting: list[asyncio.Event] = []

    async def handle(self, _: Dispatcher, session: LoginSession, request: Request) -> Ack:
        self.begun.append(request.command)
        if isinstance(request.command, self._slow):
            self.waiting.append(event := asyncio.Event())
            await event.wait()
        return Ack()

    def release(self) -> None:
        self.waiting.pop(0).set()

    def count(self, kind: type) -> int:
        return sum(isinstance(command, kind) for command in self.begun)


Play = Callable[..., SlowServices]


@pytest.fixture
async def client(cluster: EdgeCluster) -> EdgeClient:
    await cluster.add_edge()
    cluster.backend.add_chat(ChatId(CHAT), 1, 2)
    client = await cluster.client(1)
    client.client.dialect.orders_replies = False
    return client


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    def play(*slow: type) -> SlowServices:
        services = SlowServices(*slow)
        monkeypatch.setattr(Dispatcher, "handle", lambda *arguments: services.handle(*arguments))
        return services

    return play


async def test_messages_reads_and_changes_overtake_a_slow_page(client: EdgeClient, play: Play) -> None:
    services = play(ReadHistory)
    page = client.send(do="history", chat=CHAT)
    await client.post(CHAT, "apple")
    await client.request(do="account", account=2)
    await client.request(do="block", account=2, on=True)
    assert page not in client.replies
    services.release()
    await client.reply_to(page)


async def test_a_change_waits_for_a_read_that_its_reply_could_contradict(client: EdgeClient, play: Play) -> None:
    services = play(GetAccount)
    account = client.send(do="account", account=2)
    page, block, last = (
        client.send(do="history", chat=CHAT),
        client.send(do="block", account=2, on=True),
        client.send(do="history", chat=CHAT),
    )
    await client.reply_to(page)
    assert services.count(SetBlocked) == 0
    services.release()
    await client.reply_to(last)
    assert client.replied_refs[-4:] == [page, account, block, last]


async def test_at_most_eight_reads_wait_and_the_next_one_follows(client: EdgeClient, play: Play) -> None:
    services = play(ReadHistory)
    pages = [client.send(do="history", chat=CHAT) for _ in range(10)]
    await until(lambda: services.count(ReadHistory) == 8)
    await client.post(CHAT, "apple")
    assert (services.count(ReadHistory), {*pages} & {*client.replied_refs}) == (8, set())
    services.release()
    await client.reply_to(pages[0])
    await until(lambda: services.count(ReadHistory) == 9)
    for _ in pages[1:]:
        await until(lambda: bool(services.waiting))
        services.release()
    for page in pages:
        await client.reply_to(page)


async def test_reads_beyond_those_that_may_wait_are_rejected(client: EdgeClient, play: Play) -> None:
    play(ReadHistory)
    *_, last = [client.send(do="history", chat=CHAT) for _ in range(8 + 64 + 1)]
    assert await client.reply_to(last) == "rate_limited"
    await client.post(CHAT, "apple")


async def test_large_pages_at_the_same_time_do_not_count_as_a_slow_client(
    client: EdgeClient, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = play(ReadHistory)
    pages = [client.send(do="history", chat=CHAT) for _ in range(8)]
    await until(lambda: services.count(ReadHistory) == 8)
    monkeypatch.setattr("services.edge.client.outbox._PACE_BYTES", 10)
    client.socket.deaf = True
    for _ in pages:
        services.release()
    await until(lambda: client.socket.unsent() > 0)
    await asyncio.sleep(0.2)  # this is longer than the pause between two checks of the outbox for space
    first = client.socket.unsent()
    client.socket.stop_being_deaf()
    for page in pages:
        await client.reply_to(page)
    assert first < 20, "one reply"


def test_a_reaction_waits_for_the_list_of_reactions() -> None:
    """Neither the list of reactions nor the list of readers has a `rev`."""
    change = ChangeMessage(ChatId(CHAT), 1, React("👍", on=True))
    reads = (FindReactors(ChatId(CHAT), 1), FindReaders(ChatId(CHAT), 1), GetChanges(ChatId(CHAT), 0))
    assert [holds_back(read, change) for read in reads] == [True, True, False]


async def test_a_command_of_the_login_waits_for_all_and_holds_all_back(client: EdgeClient, play: Play) -> None:
    services = play(ReadHistory, DeleteAccount)
    page, end, behind = client.send(do="history", chat=CHAT), client.send(do="delete"), client.send(do="ping")
    await until(lambda: services.count(ReadHistory) == 1)
    await client.socket.until(lambda: client.client.inbox.queued == 2)
    assert services.count(DeleteAccount) == 0
    services.release()
    await client.reply_to(page)
    await until(lambda: services.count(DeleteAccount) == 1)
    assert behind not in client.replies
    services.release()
    await client.reply_to(behind)
    assert client.replied_refs[-3:] == [page, end, behind]


async def test_an_orderly_close_waits_for_reads(client: EdgeClient, play: Play) -> None:
    services = play(ReadHistory)
    page = client.send(do="history", chat=CHAT)
    await until(lambda: services.count(ReadHistory) == 1)
    client.client.close_gracefully(1012, "restarting")
    for _ in range(5):  # this lets the event loop run a few iterations
        await asyncio.sleep(0)
    assert client.socket.closed_with is None
    services.release()
    await client.reply_to(page)
    await client.socket.until(lambda: client.socket.closed_with is not None)


async def test_the_end_of_a_connection_cancels_its_reads(cluster: EdgeCluster, client: EdgeClient, play: Play) -> None:
    services = play(ReadHistory)
    client.send(do="history", chat=CHAT)
    await until(lambda: services.count(ReadHistory) == 1)
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "ReadHistory"]
    client.socket.vanish()
    await asyncio.wait([task], timeout=10)
    assert task.cancelled()


async def test_a_client_that_did_not_permit_it_gets_its_replies_in_order(client: EdgeClient, play: Play) -> None:
    client.client.dialect.orders_replies = True
    services = play(ReadHistory)
    page, account = client.send(do="history", chat=CHAT), client.send(do="account", account=2)
    await until(lambda: services.count(ReadHistory) == 1)
    services.release()
    await client.reply_to(account)
    assert (client.replied_refs[-2:], services.count(GetAccount)) == ([page, account], 1)


async def test_an_error_names_what_the_operator_can_look_for(
    client: EdgeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One case is a command that a service rejects, and the other is a frame that the edge rejects."""
    shown = list[str]()

    def note(dialect: JsonDialect, request: Request | None, failure: Failure, context: object = None) -> tuple[()]:
        shown.append(failure.request)
        return ()

    async def handle(*_: object) -> Ack:
        raise RequestError(ErrorCode.FORBIDDEN, "not a member")

    monkeypatch.setattr(Dispatcher, "handle", handle)
    monkeypatch.setattr(JsonDialect, "names_errors", True)
    monkeypatch.setattr(JsonDialect, "encode_error", note)
    with capture_logs() as lines:
        client.send(do="chat", chat=99)
        client.send(do="nonsense")
        await until(lambda: len(shown) == 2)
    assert [line["request"] for line in lines if line["event"] == "command rejected"] == shown
    assert len({*shown}) == 2
    assert all(shown)
