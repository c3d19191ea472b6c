"""A client's operation that session carries out has one effect and one reply, even if an edge repeats it.

It is repeated after its reply was lost, after its replica was killed after the commit, or by two attempts at the same
time.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from secrets import token_hex
from typing import Any

import pytest
import sqlalchemy as sa

from local.ports import free_port
from services.session.adapters.edge_notifier import EdgeNotifier
from services.session.tables import metadata
from shared.contract import subjects
from shared.contract.admin import CloseReport, ListReports, ReportMessage
from shared.contract.body import pack_segments
from shared.contract.contacts import AnswerFriendship, EndFriendship, RequestFriendship, SetBlocked
from shared.contract.drafts import SaveDraft
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.made import DeleteAnyWebhook
from shared.contract.members import (
    AddMember,
    AddMembers,
    AnswerMembership,
    BanMember,
    ChangeModes,
    CreateLink,
    DeleteLink,
    DisbandChat,
    EndMembership,
    Invite,
    JoinByLink,
    ModeChange,
    RequestMembership,
    SetChat,
    SetRole,
    SilenceMember,
    UnbanMember,
)
from shared.contract.metadata import SetMetadata
from shared.contract.model import JoinPolicy, Message, Role, Text
from shared.contract.own_settings import SetOwnSettings
from shared.contract.push import SendTestPush, Subscribe, Unsubscribe
from shared.contract.recovery import SetSecurity
from shared.contract.routes import Ack
from shared.contract.session import (
    CreateChat,
    MarkReadTime,
    MuteChat,
    OpenPrivateChat,
    PlaceChat,
    RenameChat,
    SetProfile,
)
from shared.contract.webhooks import (
    CreateIncomingWebhook,
    CreateOutgoingWebhook,
    DeleteIncomingWebhook,
    DeleteOutgoingWebhook,
    ReplayOutgoingWebhook,
)
from shared.database import Database
from shared.run_once import NONCE_USED
from shared.settings import Settings
from shared.settings.messages import OutgoingWebhookSettings
from shared.settings.servers import OpsSettings
from tests.support.databases import empty
from tests.support.servers import NatsServer, ValkeyServer
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.session.service.conftest import ON_BOTH
from tests.unit.services.session.service_harness import ANN, BOB, CEM, DAN, BusPeers, running_service, settings_for

READS = {route.request for route in subjects.FORWARDED if route.reads}
SET_A_STATE = {
    SetProfile, SetSecurity, SetBlocked, MuteChat, PlaceChat, SaveDraft, MarkReadTime,
    ReportMessage, UnbanMember, DeleteLink, DeleteIncomingWebhook,
    DeleteOutgoingWebhook, ReplayOutgoingWebhook, OpenPrivateChat, RenameChat, Subscribe, Unsubscribe, SendTestPush,
}  # fmt: skip
"""Requests that may be carried out twice, because the second time changes nothing that a user sees."""

Prepared = Callable[[BusPeers], Awaitable[Any]]


async def group(peers: BusPeers, *members: AccountId, policy: JoinPolicy = JoinPolicy.CLOSED) -> ChatId:
    """Creates a group that Ann owns."""
    return (await peers.create(*members, actor=ANN, name="g", join_policy=policy)).chat.id


async def accepted(peers: BusPeers) -> AnswerMembership:
    chat = await group(peers, policy=JoinPolicy.APPROVAL)
    await peers.edge.send(RequestMembership(chat, "hi", actor=CEM))
    return AnswerMembership(chat, CEM, True, actor=ANN)


async def by_link(peers: BusPeers) -> JoinByLink:
    """Returns a request that uses up the link."""
    made = await peers.edge.send(CreateLink(await group(peers), uses=1, actor=ANN))
    return JoinByLink(made.link, actor=CEM)


async def befriended(peers: BusPeers) -> AnswerFriendship:
    await peers.edge.send(RequestFriendship(DAN, actor=CEM))
    return AnswerFriendship(CEM, True, actor=DAN)


async def invited(peers: BusPeers) -> AddMember:
    return AddMember(await group(peers), BOB, actor=ANN)


MODES = [ModeChange(True, "o", "2"), ModeChange(True, "m"), ModeChange(True, "b", "*!*@*"), ModeChange(True, "l", "9")]
OPERATIONS: list[tuple[Any, Prepared]] = [
    (CreateChat.route, lambda _: _ready(CreateChat([BOB], name="new", actor=ANN))),
    (RequestFriendship.route, lambda _: _ready(RequestFriendship(CEM, "hi", actor=BOB))),
    (AnswerFriendship.route, befriended),
    (EndFriendship.route, lambda _: _ready(EndFriendship(DAN, actor=CEM))),
    (
        RequestMembership.route,
        lambda peers: _of(group(peers, policy=JoinPolicy.OPEN), RequestMembership, "", actor=CEM),
    ),
    (
        RequestMembership.route,
        lambda peers: _of(group(peers, policy=JoinPolicy.APPROVAL), RequestMembership, "", actor=CEM),
    ),
    (AnswerMembership.route, accepted),
    (AddMember.route, invited),
    (AddMembers.route, lambda peers: _of(group(peers), AddMembers, [BOB, CEM], actor=ANN)),
    (EndMembership.route, lambda peers: _of(group(peers, BOB), EndMembership, BOB, actor=ANN)),
    (EndMembership.route, lambda peers: _of(group(peers, BOB), EndMembership, ANN, actor=ANN)),
    (SetRole.route, lambda peers: _of(group(peers, BOB), SetRole, BOB, Role.ADMIN, actor=ANN)),
    (SetRole.route, lambda peers: _of(group(peers, BOB), SetRole, BOB, Role.OWNER, actor=ANN)),
    (BanMember.route, lambda peers: _of(group(peers, BOB), BanMember, BOB, 0, actor=ANN)),
    (SilenceMember.route, lambda peers: _of(group(peers, BOB), SilenceMember, BOB, 2**42, actor=ANN)),
    (SetChat.route, lambda peers: _of(group(peers), SetChat, "another name", True, actor=ANN)),
    (ChangeModes.route, lambda peers: _of(group(peers, BOB), ChangeModes, MODES, actor=ANN)),
    (Invite.route, lambda peers: _of(group(peers), Invite, DAN, actor=ANN)),
    (SetMetadata.route, lambda peers: _of(group(peers), lambda chat: SetMetadata("url", "x", chat=chat, actor=ANN))),
    (DisbandChat.route, lambda peers: _of(group(peers, BOB), DisbandChat, actor=ANN)),
    (CreateLink.route, lambda peers: _of(group(peers), CreateLink, 1, 0, actor=ANN)),
    (SetOwnSettings.route, lambda _: _ready(SetOwnSettings(0, level="none", actor=ANN))),
    (JoinByLink.route, by_link),
    (CreateIncomingWebhook.route, lambda peers: _of(group(peers), CreateIncomingWebhook, "hook", actor=ANN)),
    (
        CreateOutgoingWebhook.route,
        lambda peers: _of(group(peers), CreateOutgoingWebhook, "hook", "https://a.example/", actor=ANN),
    ),
]


async def _ready(request: Any) -> Any:
    return request


async def _of(chat: Awaitable[ChatId], kind: Callable[..., Any], *rest: Any, **named: Any) -> Any:
    return kind(await chat, *rest, **named)


def test_the_operations_are_all_that_an_edge_forwards() -> None:
    made = {route.request for route, _ in OPERATIONS}
    assert made | READS | SET_A_STATE == {route.request for route in subjects.FORWARDED}
    assert not made & (READS | SET_A_STATE)


@pytest.fixture
def settings(nats_server: NatsServer, valkey_server: ValkeyServer, migrated_url: str) -> Settings:
    """The settings of session, with a database whose tables are empty."""
    settings = settings_for(nats_server, valkey_server, migrated_url)
    if not migrated_url.startswith("sqlite"):
        empty(settings.database_url("session"), metadata)
    return settings.model_copy(update={"outgoing_webhooks": OutgoingWebhookSettings(enabled=True)})


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings.database_url("session"))
    yield database
    await database.close()


@pytest.fixture
async def peers(
    nats_server: NatsServer, valkey_server: ValkeyServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[BusPeers]:
    """The other services and clients on NATS, with two running replicas of session. Bob is a friend of Ann."""
    monkeypatch.setattr("shared.presence.store._TRUST_SECONDS", 0.0)
    peers = BusPeers(nats_server, valkey_server)
    other = settings.model_copy(update={"ops": OpsSettings(port=free_port())})
    async with peers.running(), running_service(settings), running_service(other):
        await peers.register(ANN, BOB, CEM, DAN)
        for friend in (BOB, CEM):
            await peers.befriend(ANN, friend)
        yield peers


async def dump(database: Database) -> dict[str, list[Any]]:
    """Returns all stored data except the results of requests."""

    def read(connection: sa.Connection) -> dict[str, list[Any]]:
        tables = [table for table in metadata.sorted_tables if table.name not in ("request", "health")]
        return {table.name: sorted(map(tuple, connection.execute(sa.select(table))), key=repr) for table in tables}

    return await database.read(read)


@ON_BOTH
async def test_a_repeated_request_has_one_effect_and_one_reply(peers: BusPeers, database: Database) -> None:
    for route, prepare in OPERATIONS:
        request, nonce = await prepare(peers), token_hex(32)
        both = [peers.edge.request(route, request, seconds=WAIT_SECONDS, nonce=nonce) for _ in range(2)]
        replies = await asyncio.gather(*both)
        stored = await dump(database)
        assert stored["chat"]
        replies.append(await peers.edge.request(route, request, seconds=WAIT_SECONDS, nonce=nonce))
        assert replies[1:] == replies[:-1], route.label
        assert await dump(database) == stored, route.label


async def test_a_repeated_request_of_an_operator_has_one_reply(peers: BusPeers) -> None:
    chat = await group(peers)
    peers.messages[chat] = [Message(chat, 1, MessageId(1), BOB, 5_000, pack_segments((Text("buy"),)), Nonce(1))]
    await peers.edge.send(ReportMessage(chat, 1, "spam", actor=ANN))
    hook = await peers.edge.send(CreateIncomingWebhook(chat, "hook", actor=ANN))
    reports = (await peers.admin.send(ListReports())).reports
    for request in (CloseReport(reports[0].number), DeleteAnyWebhook(hook.hook)):
        nonce = token_hex(32)
        for _ in range(2):
            assert await peers.admin.send(request, nonce=nonce) == Ack()


async def test_another_request_under_the_nonce_of_one_is_a_conflict(peers: BusPeers, database: Database) -> None:
    """The other request is of the same kind or of another kind."""
    chat, nonce = await group(peers), token_hex(32)
    made: list[tuple[Any, Any]] = [
        (CreateLink.route, CreateLink(chat, actor=ANN)),
        (CreateLink.route, CreateLink(chat, uses=1, actor=ANN)),
        (CreateIncomingWebhook.route, CreateIncomingWebhook(chat, "hook", actor=ANN)),
        (CreateOutgoingWebhook.route, CreateOutgoingWebhook(chat, "hook", "https://a.example/", actor=ANN)),
        (CreateChat.route, CreateChat([BOB], name="new", actor=ANN)),
    ]
    (first, link), *others = made
    await peers.edge.request(first, link, nonce=nonce)
    stored = await dump(database)
    for route, request in others:
        with pytest.raises(RequestError) as caught:
            await peers.edge.request(route, request, nonce=nonce)
        assert caught.value.failure == NONCE_USED
    assert await dump(database) == stored


async def test_the_secret_of_a_webhook_does_not_follow_from_the_nonce(peers: BusPeers, database: Database) -> None:
    """A client may have chosen the nonce badly."""
    request = CreateIncomingWebhook(await group(peers), "hook", actor=ANN)
    first = await peers.edge.send(request, nonce="1")
    await database.write(lambda connection: connection.execute(sa.delete(metadata.tables["request"])))
    second = await peers.edge.send(request, nonce="1")
    assert first.secret != second.secret
    assert first.hook != second.hook


async def test_a_request_that_is_committed_when_its_replica_is_killed_is_finished_by_another(
    peers: BusPeers, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The killed replica has announced nothing and has sent no reply."""
    publish = EdgeNotifier.publish
    for route, prepare in OPERATIONS:
        request, nonce, killed = await prepare(peers), token_hex(32), asyncio.Event()

        async def kill(notifier: EdgeNotifier, *changes: Any, killed: asyncio.Event = killed) -> bool:
            if not killed.is_set():
                killed.set()
                raise RuntimeError("killed")
            return await publish(notifier, *changes)

        monkeypatch.setattr(EdgeNotifier, "publish", kill)
        try:
            await peers.edge.request(route, request, seconds=WAIT_SECONDS, nonce=nonce)
        except RequestError:
            assert killed.is_set(), route.label
        monkeypatch.setattr(EdgeNotifier, "publish", publish)
        reply = await peers.edge.request(route, request, seconds=WAIT_SECONDS, nonce=nonce)
        stored = await dump(database)
        assert await peers.edge.request(route, request, seconds=WAIT_SECONDS, nonce=nonce) == reply, route.label
        assert await dump(database) == stored, route.label
