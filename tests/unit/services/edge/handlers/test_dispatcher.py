"""Logins wait for a verification, requests fail, and connections end meanwhile."""

import asyncio

import pytest

from services.edge.app import Edge
from services.edge.canonical.commands import AuthCommand, EdgeCommand, PostMessage, UploadCommand
from services.edge.client.client import Client
from services.edge.client.connection import Connection
from services.edge.handlers.dispatcher import Dispatcher
from shared.contract.auth import Login, Register, SendVerification
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.session import EnsureProfile, GetAccount
from tests.support.waiting import until
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient, FakeSocket, dial, reply_to


@pytest.fixture
async def stranger(cluster: EdgeCluster) -> EdgeClient:
    """A client whose registration waits for a verification."""
    edge = await cluster.add_edge()
    cluster.auth.requires_verification = True
    device = EdgeClient(edge.endpoint)
    assert await device.request(do="register", nickname="x") == "VerificationNeeded"
    return device


def ticket(device: EdgeClient) -> str:
    assert device.client.connection.pending_verification is not None
    return device.client.connection.pending_verification.ticket


async def open_link(cluster: EdgeCluster, device: EdgeClient, *, passed: bool = True) -> None:
    node, number = cluster.edges[0].id, device.client.connection.number
    await cluster.auth.open_link(node, number, ticket(device), passed=passed)


async def test_the_opened_link_completes_the_registration(cluster: EdgeCluster, stranger: EdgeClient) -> None:
    assert await stranger.request(do="verify") == "VerificationMailed"
    assert cluster.auth.requests_of(SendVerification)[0].base_url == "http://chat.example"
    await open_link(cluster, stranger)
    await stranger.until_event("VerificationEnded", "passed")
    notified = asyncio.get_running_loop().time()
    await stranger.socket.until(lambda: len(stranger.replied_refs) == 3)
    assert asyncio.get_running_loop().time() - notified > 0.04
    assert stranger.seen[-1] == {"re": 1, "ok": 102}
    first, second = cluster.auth.requests_of(Register)
    assert (first.origin, second.origin) == (second.origin, first.origin)
    assert await stranger.request(do="account", account=102) == "name-102"


async def test_a_wrong_link_leaves_the_right_one_valid(cluster: EdgeCluster, stranger: EdgeClient) -> None:
    await open_link(cluster, stranger, passed=False)
    await stranger.until_event("VerificationEnded", "wrong")
    await open_link(cluster, stranger)
    await stranger.socket.until(lambda: {"re": 1, "ok": 102} in stranger.seen)


async def test_a_pending_verification_expires(cluster: EdgeCluster, edge: Edge) -> None:
    cluster.auth.requires_verification, cluster.auth.time_limit_ms = True, 100
    device = EdgeClient(edge.endpoint)
    assert await device.request(do="login", account=1) == "VerificationNeeded"
    late = ticket(device)
    await device.until_event("VerificationEnded", "expired")
    assert (device.replied_refs, [*device.replies.values()]) == ([1, 1], ["forbidden"])
    await cluster.auth.open_link(edge.id, device.client.connection.number, late)
    assert await device.request(do="verify") == "NoPendingVerification"
    assert len(cluster.auth.requests_of(Login)) == 1


@pytest.mark.parametrize("waits", [True, False])
async def test_another_login_ends_the_wait_of_the_registration(
    cluster: EdgeCluster, stranger: EdgeClient, *, waits: bool
) -> None:
    """The other login may wait for a link, too. Then the mail is about that login, and only its link completes it."""
    first = ticket(stranger)
    cluster.auth.requires_verification = waits
    assert await stranger.request(do="login", account=1) == ("VerificationNeeded" if waits else 1)
    assert stranger.seen[1] == {"re": 1, "error": "forbidden"}
    await cluster.auth.open_link(cluster.edges[0].id, stranger.client.connection.number, first)
    if waits:
        await stranger.request(do="verify")
        assert [mail.ticket for mail in cluster.auth.requests_of(SendVerification)] == [ticket(stranger)]
        await open_link(cluster, stranger)
        await stranger.socket.until(lambda: stranger.replies[2] == 1)
    assert await stranger.request(do="account", account=1) == "name-1"
    assert len(cluster.auth.requests_of(Register)) == 1


async def test_queued_requests_come_after_the_completed_registration(
    cluster: EdgeCluster, stranger: EdgeClient
) -> None:
    """The link is opened while another request is handled, and while more requests are queued."""
    gate = cluster.auth.block(SendVerification)
    sent = [stranger.send(do="verify"), *(stranger.send(do="account", account=1) for _ in range(2))]
    await cluster.auth.until_requested(SendVerification)
    await open_link(cluster, stranger)
    await stranger.until_event("VerificationEnded", "passed")
    await asyncio.sleep(0.06)
    gate.set()
    await stranger.reply_to(sent[-1])
    assert [seen.get("re") for seen in stranger.seen[1:]] == [None, sent[0], 1, *sent[1:]]
    assert stranger.replies[sent[-1]] == "name-1"


async def test_the_link_does_not_log_in_a_closed_connection(cluster: EdgeCluster, stranger: EdgeClient) -> None:
    number, which = stranger.client.connection.number, ticket(stranger)
    stranger.socket.leave()
    await cluster.auth.open_link(cluster.edges[0].id, number, which)
    assert await EdgeClient(cluster.edges[0].endpoint).request(do="status") == "ServerStatus"
    assert len(cluster.edges[0].accounts) == 0


async def test_each_command_of_the_edge_has_a_handler(edge: Edge) -> None:
    """The commands about logins have one common handler. Messages and files are resolved first, and then posted."""
    dispatcher = edge.endpoint._handler
    assert isinstance(dispatcher, Dispatcher)
    elsewhere = {*AuthCommand.__args__, *UploadCommand.__args__, PostMessage}
    assert set(EdgeCommand.__args__) - elsewhere <= dispatcher.handlers.keys()


async def test_a_login_does_not_fail_when_its_profile_cannot_be_created(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.login.account_lookup._PROFILE_SECONDS", 0.2)
    await cluster.add_edge()
    cluster.session.block(EnsureProfile)
    await cluster.client(1)


async def test_a_request_without_a_reply_is_unavailable_and_the_next_one_is_processed(cluster: EdgeCluster) -> None:
    (alice,) = await cluster.enter(1, request_seconds=1.5)
    gate = cluster.session.block(GetAccount)
    assert await alice.request(do="account", account=2) == "unavailable"
    gate.set()
    assert await alice.request(do="account", account=2) == "name-2"


async def test_profile_requests_are_coalesced(cluster: EdgeCluster) -> None:
    """A profile that is missing in the reply is requested separately."""
    alice, bob = await cluster.enter(1, 2)
    cluster.session.shows_profiles, cluster.session.missing_accounts = True, {AccountId(404)}
    sent = [(device, device.send(do="account", account=3)) for device in (alice, bob)]
    assert [await device.reply_to(ref) for device, ref in sent] == ["name-3"] * 2
    assert not cluster.session.requests_of(GetAccount)
    assert await alice.request(do="account", account=404) == "not_found"
    assert [one.account for one in cluster.session.requests_of(GetAccount)] == [404]


@pytest.mark.parametrize(
    ("error", "code"), [(RequestError(ErrorCode.FORBIDDEN, "no"), "forbidden"), (ZeroDivisionError(), "internal")]
)
async def test_failures_are_answered_with_their_error(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    async def fail(*_: object) -> None:
        raise error

    (alice,) = await cluster.enter(1)
    monkeypatch.setattr("services.edge.handlers.accounts.Forwarder.forward", fail)
    assert await alice.request(do="account", account=2) == code
    monkeypatch.undo()
    assert await alice.request(do="account", account=2) == "name-2"


@pytest.mark.parametrize("kind", [Login, EnsureProfile])
async def test_a_disconnect_during_the_login_leaves_nothing_behind(cluster: EdgeCluster, kind: type) -> None:
    edge = await cluster.add_edge()
    neighbour = cluster.auth if kind is Login else cluster.session
    gate = neighbour.block(kind)
    device = EdgeClient(edge.endpoint)
    device.send(do="login", account=1)
    await neighbour.until_requested(kind)
    device.socket.vanish()
    gate.set()
    await until(lambda: not len(edge.context.tasks))
    assert await edge.read_state.flush()
    assert (len(edge.accounts), len(edge.endpoint.clients)) == (0, 0)
    assert await cluster.nodes_of(1) == []
    assert device.socket.received == []


REGISTRATIONS = {
    "ourchat-v0": '{"code": 4, "data": {"mail": "x@y", "password": "right"}}',
    "ourchat-v1": '{"code": 4, "time": 0, "data": {"email": "x@y", "password": "right", "name": "x"}}',
    "pipe": "register|x|right|x|1||1||0",
    "service": '{"service_code": 2, "content": {"id": "6f9619ff-8b86-4d01-b42d-00c04fc964ff", "token": "right"}}',
}
MAILED = "a mail was sent to your address: open the link in it, then try again"


def connection(wire: FakeSocket) -> Connection:
    assert isinstance(wire.client, Client)
    return wire.client.connection


@pytest.mark.parametrize("dialect", REGISTRATIONS)
async def test_dialects_without_verification_get_the_link_mailed_at_once(cluster: EdgeCluster, dialect: str) -> None:
    """A mail that cannot be sent is an error. An opened link does not notify the client: its next attempt succeeds."""
    edge = await cluster.add_edge()
    cluster.auth.requires_verification, cluster.auth.accepts_mails = True, False
    wire = dial(edge.endpoint, f"/ws/{dialect}")
    assert "several mails" in await reply_to(wire, REGISTRATIONS[dialect])
    assert connection(wire).account == NO_ACCOUNT
    cluster.auth.accepts_mails = True
    assert MAILED in await reply_to(wire, REGISTRATIONS[dialect])
    mailed = cluster.auth.requests_of(SendVerification)[-1]
    assert (mailed.base_url, mailed.origin.connection) == ("http://chat.example", connection(wire).number)
    assert connection(wire).pending_verification is None
    await cluster.auth.open_link(edge.id, connection(wire).number, mailed.ticket)
    cluster.auth.requires_verification = False
    assert MAILED not in await reply_to(wire, REGISTRATIONS[dialect])
    assert len(wire.received) == 3
