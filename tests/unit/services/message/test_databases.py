"""Several databases of message, each with a replica: what is where, and what requesters see of it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.edge.rpc.retrying import request_until_answered
from services.message.app import serve
from services.message.store.read_state import with_cursors
from shared.contract.body import pack_segments
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import (
    ChangeMessage,
    GetChanges,
    GetHeads,
    GetHistory,
    GetUnread,
    MarkRead,
    React,
    ReadRange,
    Sync,
    SyncChat,
    Synced,
)
from shared.contract.model import Text
from shared.contract.reactions import FindReactors, Reactor
from shared.contract.receipts import FindReadIndexes
from shared.contract.resume import Resume
from shared.contract.search import SearchMessages, SearchPage
from shared.contract.session import EraseAccount
from shared.contract.subjects import (
    CHANGE_MESSAGE,
    ERASE_READ_STATE,
    FIND_REACTORS,
    FIND_READ_INDEXES,
    GET_CHANGES,
    GET_HEADS,
    GET_HISTORY,
    GET_UNREAD,
    MARK_READ,
    RESUME,
    SEARCH,
    SYNC,
    SYNC_CHAT,
    change,
)
from shared.database import Database
from shared.settings import DatabaseSettings, MessageSettings, Settings
from tests.support.servers import NatsServer, PostgresServer, ValkeyServer
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.upstream.posting_edge import PostingEdge, running_edge
from tests.unit.services.message.environment import (
    ANN,
    BOB,
    MessageEnvironment,
    running_replica,
    second_replica,
    settings_for,
    wait_until,
)
from tests.unit.services.message.placed import is_in_main, placed_settings, running_replicas, stored
from tests.unit.services.message.test_app import bus_user

pytestmark = pytest.mark.usefixtures("patient_rosters")

_BOUND_SECONDS = 30.0
CHATS = [ChatId(number) for number in range(1, 13)]
MAIN = [chat for chat in CHATS if is_in_main(chat)]
SECOND = [chat for chat in CHATS if not is_in_main(chat)]


@pytest.fixture(params=["sqlite", "postgresql"])
def plain_urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    if request.param == "sqlite":
        yield {name: f"sqlite:///{tmp_path / name}.db" for name in ("main", "second")}
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as main, server.database() as second:
        yield {"main": main, "second": second}


@pytest.fixture
def replicas(nats_server: NatsServer, valkey_server: ValkeyServer, plain_urls: dict[str, str]) -> dict[str, Settings]:
    return placed_settings(nats_server, valkey_server, plain_urls)


@pytest.fixture
def urls(replicas: dict[str, Settings]) -> dict[str, str]:
    return replicas["main"].message_database_urls()


@pytest.fixture
async def edge(env: MessageEnvironment, nats_server: NatsServer) -> AsyncIterator[PostingEdge]:
    """Its account is a member of every chat."""
    for chat in CHATS:
        await env.session.add_members(chat, ANN, BOB)
    async with running_edge(nats_server) as edge:
        yield edge


async def wait_for_map(edge: PostingEdge) -> None:
    await wait_until(lambda: {edge.owners.database(chat) for chat in CHATS} == {"main", "second"})


async def test_changes_find_the_database_of_their_chat(
    env: MessageEnvironment, edge: PostingEdge, replicas: dict[str, Settings]
) -> None:
    """By the queue group, and by the replicas of the chat's database; unavailable until a replica knows the other."""
    async with running_replicas(replicas):
        await wait_for_map(edge)
        await edge.post(CHATS)
        for chat in CHATS:
            request = ChangeMessage(chat, 1, React("👍", on=True), BOB)
            assert (await request_until_answered(env.edges.bus, CHANGE_MESSAGE, request)).rev == 1
            own = change(edge.owners.database(chat))
            request = ChangeMessage(chat, 1, React("🎉", on=True), BOB)
            assert (await request_until_answered(env.edges.bus, own, request)).rev == 2
            page = await request_until_answered(env.edges.bus, GET_CHANGES, GetChanges(chat, 0, ANN))
            assert [one.reactions for one in page.changes] == [{"👍": 1, "🎉": 1}]
            found = await request_until_answered(env.edges.bus, FIND_REACTORS, FindReactors(chat, 1, actor=ANN))
            assert found.reactors == [Reactor(BOB, ["🎉", "👍"])]
            with pytest.raises(RequestError) as caught:
                await env.edges.bus.request(FIND_REACTORS, FindReactors(chat, 2, actor=ANN), seconds=5.0)
            assert caught.value.failure.code is ErrorCode.NOT_FOUND
        resume = Resume(ANN, dict.fromkeys(CHATS, 1), 30, 20, revs=dict.fromkeys(CHATS, 1))
        resumed = await request_until_answered(env.edges.bus, RESUME, resume)
        assert {one.chat: one.revision.rev for one in resumed.chats if one.revision} == dict.fromkeys(CHATS, 2)


async def test_read_indexes_of_all_databases(
    env: MessageEnvironment, edge: PostingEdge, replicas: dict[str, Settings]
) -> None:
    async with running_replicas(replicas):
        await wait_for_map(edge)
        await edge.post(CHATS)
        read = MarkRead([ReadRange(BOB, chat, 1, 1) for chat in CHATS])
        while (await request_until_answered(env.edges.bus, MARK_READ, read)).unstored:
            await asyncio.sleep(0.1)  # a busy machine
        request = FindReadIndexes([(BOB, chat) for chat in CHATS])
        found = await request_until_answered(env.edges.bus, FIND_READ_INDEXES, request)
        while len(found.found) < len(CHATS):
            found = await request_until_answered(env.edges.bus, FIND_READ_INDEXES, request)
        assert {one.chat: one.index for one in found.found} == dict.fromkeys(CHATS, 1)


async def sync_all(env: MessageEnvironment, account: AccountId) -> list[Synced]:
    pages = [await env.edges.bus.request(SYNC, Sync(account), retry=True)]
    while pages[-1].more:
        pages.append(await env.edges.bus.request(SYNC, Sync(account, pages[-1].last_chat), retry=True))
    return pages


async def test_each_database_has_its_own_chats_and_ids(
    env: MessageEnvironment, edge: PostingEdge, replicas: dict[str, Settings], urls: dict[str, str]
) -> None:
    """Whether an edge knows the databases, or sends all messages to the queue group, whose replicas forward them."""
    async with running_replicas(replicas):
        await wait_for_map(edge)
        await edge.post(CHATS)
        assert edge.requests() == {"any": 2}
        drafts = [env.edges.draft(BOB, chat, seconds=30.0) for chat in CHATS]
        while (results := await env.edges.post(*drafts)).failures:
            await asyncio.sleep(0.1)  # a busy machine; nonces are the same
        assert [posted and posted.index for posted in results.posted] == [2] * len(CHATS)
    rows = {name: stored(url) for name, url in urls.items()}
    assert [row[:2] for row in rows["main"]] == [(chat, index) for chat in MAIN for index in (1, 2)]
    assert [row[:2] for row in rows["second"]] == [(chat, index) for chat in SECOND for index in (1, 2)]
    ids = [row[2] for found in rows.values() for row in found]
    assert len(set(ids)) == len(ids)
    assert max(ids) < 2**53
    assert {row[2] >> 44 for row in rows["main"]} == {0}
    assert {row[2] >> 44 for row in rows["second"]} == {1}


async def test_syncs_and_unread_messages_are_put_together(
    env: MessageEnvironment, edge: PostingEdge, replicas: dict[str, Settings]
) -> None:
    """Unavailable until the replica that is requested knows the other."""
    async with running_replicas(replicas):
        await wait_for_map(edge)
        for chat in reversed(CHATS):
            await edge.post([chat])
        pages = await sync_all(env, BOB)
        while any(page.away for page in pages):  # a busy machine
            pages = await sync_all(env, BOB)
        assert [entry.chat for page in pages for entry in page.chats] == CHATS
        assert [message.chat for page in pages for entry in page.chats for message in entry.messages] == CHATS
        unread = await request_until_answered(env.edges.bus, GET_UNREAD, GetUnread(BOB, 8))
        while unread.total < len(CHATS):  # of one database alone
            unread = await request_until_answered(env.edges.bus, GET_UNREAD, GetUnread(BOB, 8))
        assert (unread.total, [message.chat for message in unread.messages]) == (12, CHATS[:3:-1])
        heads = await request_until_answered(env.session.bus, GET_HEADS, GetHeads(CHATS))
        assert heads.heads == dict.fromkeys(CHATS, 1)
        for chat in CHATS:
            page = GetHistory(chat, -1, 5, actor=BOB)
            history = await request_until_answered(env.edges.bus, GET_HISTORY, page)
            assert [(message.chat, message.index) for message in history.messages] == [(chat, 1)]
            assert (await request_until_answered(env.edges.bus, SYNC_CHAT, SyncChat(chat, [BOB], 0))).head == 1


async def search_until(env: MessageEnvironment, request: SearchMessages, hits: int) -> SearchPage:
    """The index follows the messages."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            page = await request_until_answered(env.edges.bus, SEARCH, request)
            if len(page.hits) == hits:
                return page
            await asyncio.sleep(0.1)


async def test_searches_are_put_together(
    env: MessageEnvironment, edge: PostingEdge, replicas: dict[str, Settings]
) -> None:
    async with running_replica(replicas["main"]):
        async with running_replica(replicas["second"]):
            await wait_for_map(edge)
            for chat in CHATS:
                draft = env.edges.draft(BOB, chat, pack_segments((Text(f"word {chat}"),)))
                while (await env.edges.post(draft)).failures:
                    await asyncio.sleep(0.1)  # a replica does not know the other yet
            everything = await search_until(env, SearchMessages("word", actor=BOB), len(CHATS))
            assert sorted(hit.chat for hit in everything.hits) == CHATS
            assert [hit.time for hit in everything.hits] == sorted((hit.time for hit in everything.hits), reverse=True)
            assert everything.next is None
            first = await search_until(env, SearchMessages("word", count=5, actor=BOB), 5)
            rest = await search_until(env, SearchMessages("word", count=9, place=first.next, actor=BOB), 7)
            assert first.hits + rest.hits == everything.hits
        page = await search_until(env, SearchMessages("word", actor=BOB), len(MAIN))
        assert page.indexed_to == 0, "a database is away"


async def accounts_with_read_state(urls: dict[str, str]) -> list[list[AccountId]]:
    found = []
    for url in urls.values():
        database = Database(url)
        found.append(await database.read(lambda connection: with_cursors(connection, [BOB])))
        await database.close()
    return found


async def test_read_state_is_stored_and_erased_in_every_database(
    env: MessageEnvironment,
    edge: PostingEdge,
    replicas: dict[str, Settings],
    urls: dict[str, str],
    nats_server: NatsServer,
) -> None:
    async with running_replicas(replicas), bus_user(nats_server, "auth") as auth:
        await wait_for_map(edge)
        await edge.post(CHATS)
        unstored = [ReadRange(BOB, chat, 1, 1) for chat in CHATS]
        while unstored:
            unstored = (await env.edges.bus.request(MARK_READ, MarkRead(unstored))).unstored
        assert (await env.edges.bus.request(GET_UNREAD, GetUnread(BOB, 0))).total == 0
        assert await accounts_with_read_state(urls) == [[BOB], [BOB]]
        await auth.request(ERASE_READ_STATE, EraseAccount(BOB))
        assert await accounts_with_read_state(urls) == [[], []]


async def test_a_database_that_is_away_concerns_its_own_chats_only(
    env: MessageEnvironment, edge: PostingEdge, replicas: dict[str, Settings]
) -> None:
    async with running_replica(replicas["main"]):
        async with running_replica(replicas["second"]):
            await wait_for_map(edge)
            await edge.post(CHATS)
        pages = await sync_all(env, BOB)
        assert [entry.chat for page in pages for entry in page.chats] == MAIN
        assert [chat for page in pages for chat in page.away] == SECOND
        await edge.post(MAIN)
        results = await env.edges.post(*(env.edges.draft(ANN, chat) for chat in CHATS))
        assert {CHATS[position] for position in results.failures} == set(SECOND)
        assert {failure.code for failure in results.failures.values()} == {ErrorCode.UNAVAILABLE}
        marked = await env.edges.bus.request(MARK_READ, MarkRead([ReadRange(BOB, chat, 1, 1) for chat in CHATS]))
        assert [one.chat for one in marked.unstored] == SECOND
        assert (await env.edges.bus.request(MARK_READ, MarkRead(marked.unstored))).unstored == marked.unstored
        assert (await env.edges.bus.request(GET_UNREAD, GetUnread(BOB, 0))).total == 2 * len(MAIN)
        with pytest.raises(RequestError, match="unavailable"):
            await env.edges.bus.request(SYNC_CHAT, SyncChat(SECOND[0], [BOB], 0))


async def test_a_replica_that_knows_of_one_database_ends(
    env: MessageEnvironment,
    replicas: dict[str, Settings],
    nats_server: NatsServer,
    valkey_server: ValkeyServer,
    tmp_path: Path,
) -> None:
    alone = settings_for(nats_server, valkey_server, f"sqlite:///{tmp_path}/alone.db", MessageSettings())
    async with running_replicas(replicas):
        with pytest.RaisesGroup(pytest.RaisesExc(Exception, match="other replicas work on several databases")):
            async with asyncio.timeout(_BOUND_SECONDS):
                await serve(alone, asyncio.Event())


async def test_a_database_of_several_is_not_served_alone(replicas: dict[str, Settings]) -> None:
    url = replicas["second"].message.databases["second"].url
    alone = second_replica(replicas["second"]).model_copy(
        update={"message": MessageSettings(), "database": DatabaseSettings(url=url)}
    )
    with pytest.raises(Exception, match="this database is second, one of several"):
        async with asyncio.timeout(_BOUND_SECONDS):
            await serve(alone, asyncio.Event())
