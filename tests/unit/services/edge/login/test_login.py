"""Logins by registration, secret and token."""

import asyncio
import json
import time

import pytest

from services.edge.app import Edge
from services.edge.login import auth_state
from services.edge.login.account_lookup import AccountLookup
from services.edge.login.token_verifier import TokenVerifier
from shared.contract.auth import Login, Register
from shared.contract.errors import RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.tokens import BadToken, Claims
from tests.support.proxy import TcpProxy
from tests.support.waiting import WAIT_SECONDS, until
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import dial, reply_to


@pytest.fixture(autouse=True)
def _uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the time short for which a login waits for the number of unread messages. Here, no service counts them."""
    monkeypatch.setattr("services.edge.login.account_lookup._UNREAD_SECONDS", 0.05)


@pytest.mark.parametrize(("path", "frame", "enters"), [
    ("/ws/pipe", "register|ann|right|Ann|1||1||0", False),
    ("/ws/service", '{"service_code":2,"content":{"id":"6f9619ff-8b86-4d01-b42d-00c04fc964ff","token":5}}', True),
    ("/ws/ourchat-v2", '{"code":4,"email":"ann@dragoman.test","password":"right"}', True),
])  # fmt: skip
async def test_a_registration_logs_in_where_the_dialect_expects_it(
    cluster: EdgeCluster, edge: Edge, path: str, frame: str, enters: bool
) -> None:
    wire = dial(edge.endpoint, path)
    await reply_to(wire, frame)
    assert len(cluster.auth.requests_of(Register)) == 1
    (client,) = edge.endpoint.clients.values()
    assert (client.connection.account != NO_ACCOUNT) is enters


async def test_connections_of_an_account_are_limited(cluster: EdgeCluster) -> None:
    edge = await cluster.add_edge(limits={"connections_per_account": 2})
    first, second, third = (dial(edge.endpoint, "/ws/ourchat-v2") for _ in range(3))
    replies = [json.loads(await reply_to(wire, V2_LOGIN)) for wire in (first, second, first, third)]
    assert [reply["code"] for reply in replies[:3]] == [7, 7, 7]
    accounts = [client.connection.account for client in edge.endpoint.clients.values()]
    assert accounts == [1, 1, NO_ACCOUNT]
    assert third.closed_with is None
    second.client.closed()
    assert json.loads(await reply_to(third, V2_LOGIN))["code"] == 7
    assert [client.connection.account for client in edge.endpoint.clients.values()] == [1, 1]


async def test_of_logins_at_once_no_more_than_the_limit_get_in(cluster: EdgeCluster) -> None:
    edge = await cluster.add_edge(limits={"connections_per_account": 2})
    wires = [dial(edge.endpoint, "/ws/ourchat-v2") for _ in range(8)]
    replies = [json.loads(reply) for reply in await asyncio.gather(*(reply_to(wire, V2_LOGIN) for wire in wires))]
    assert len(replies) == 8
    accounts = [client.connection.account for client in edge.endpoint.clients.values()]
    assert sorted(accounts) == [NO_ACCOUNT] * 6 + [1, 1]


V2_LOGIN = '{"code":6,"login_type":1,"account":"1","password":"right"}'
TOKEN = "x" * 40
REQUESTS = [f"send_message|1|{{}}|7|now|hello|{TOKEN}", f"get_user_info|{{}}|2|{TOKEN}"]
"""Two frames with a token. A message to a group needs no further lookup."""


class TokenChecks:
    """Accepts tokens of account 1 until they expire, and counts the checks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.expires = int(time.time()) + 60
        self.count = 0

        async def check(verifier: TokenVerifier, token: str) -> Claims:
            self.count += 1
            if self.expires < time.time():
                raise BadToken("expired")
            return Claims(AccountId(1), "sid", 0, self.expires, "jti")

        monkeypatch.setattr(TokenVerifier, "check", check)
        monkeypatch.setattr(TokenVerifier, "check_with_scopes", check)


@pytest.mark.parametrize("request_", REQUESTS)
async def test_a_token_is_accepted_for_its_own_account_only(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch, request_: str
) -> None:
    checks = TokenChecks(monkeypatch)
    cluster.backend.add_chat(7, 1, 2)
    wire = dial((await cluster.add_edge()).endpoint, "/ws/pipe")
    results = [(await reply_to(wire, request_.format(account))).split("|")[0] for account in (1, 1, 2, 1)]
    assert [result.endswith("_error") for result in results] == [False, False, True, False]
    assert checks.count == 1


@pytest.mark.parametrize(("path", "frame", "error"), [
    ("/ws/native", '{{"op":"token","id":1,"token":"{}"}}', '"code":"unauthenticated"'),
    ("/ws/service", '{{"service_code":4,"content":{{"token":"{}"}}}}', '"state_code":401'),
])  # fmt: skip
async def test_a_connection_accepts_no_token_of_another_account(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch, path: str, frame: str, error: str
) -> None:
    async def check(verifier: TokenVerifier, token: str) -> Claims:
        return Claims(AccountId(int(token[-1])), "sid", 0, 2**31, "jti")

    monkeypatch.setattr(TokenVerifier, "check", check)
    monkeypatch.setattr(TokenVerifier, "check_with_scopes", check)
    wire = dial((await cluster.add_edge()).endpoint, path)
    replies = [await reply_to(wire, frame.format(SERVICE_TOKEN[:-1] + account)) for account in "121"]
    assert [error in reply for reply in replies] == [False, True, False]


@pytest.mark.parametrize("request_", REQUESTS)
async def test_an_expired_token_is_rejected(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch, request_: str
) -> None:
    checks = TokenChecks(monkeypatch)
    cluster.backend.add_chat(7, 1, 2)
    wire = dial((await cluster.add_edge()).endpoint, "/ws/pipe")
    assert not (await reply_to(wire, request_.format(1))).split("|")[0].endswith("_error")
    (client,) = cluster.edges[0].endpoint.clients.values()
    client.connection.token_expires = checks.expires = int(time.time()) - 1
    assert (await reply_to(wire, request_.format(1))).split("|")[0].endswith("_error")
    assert checks.count == 2


@pytest.mark.parametrize(("path", "frame"), [
    ("/ws/native", '{{"op":"token","id":1,"token":"{}"}}'),
    ("/ws/pipe", "get_user_info|1|2|{}"),
    ("/ws/service", '{{"service_code":3,"content":{{"token":"{}","chat":7,"index":-1,"count":1}}}}'),
])  # fmt: skip
async def test_a_token_of_another_login_of_the_account_replaces_the_connection_s(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch, path: str, frame: str
) -> None:
    """The connection belongs to the login of its last token. It ends only when this login is revoked."""

    async def check(verifier: TokenVerifier, token: str) -> Claims:
        return Claims(AccountId(1), token[-5:], 0, 2**31, "jti")

    monkeypatch.setattr(TokenVerifier, "check", check)
    monkeypatch.setattr(TokenVerifier, "check_with_scopes", check)
    # the time is short, because frames after the login may get no reply
    edge = await cluster.add_edge(request_seconds=0.5)
    wire = dial(edge.endpoint, path)
    for login in ("first", "again", "first", "again"):
        await reply_to(wire, frame.format(SERVICE_TOKEN[:-5] + login))
        (client,) = cluster.edges[0].endpoint.clients.values()
        assert (client.connection.account, client.connection.sid) == (1, login)
    await cluster.auth.revoke(1, sid="first")
    await reply_to(wire, frame.format(SERVICE_TOKEN[:-5] + "again"))
    assert wire.closed_with is None
    await cluster.auth.revoke(1, sid="again")
    await wire.until(lambda: wire.closed_with is not None)


SERVICE_LOGIN = '{{"service_code":1,"content":{{"id":"{}","token":"{}"}}}}'
SERVICE_TOKEN = ".".join(["eyJ" + "x" * 20] * 2 + ["x" * 40])
OWN, ANOTHER = "6f9619ff-8b86-4d01-b42d-00c04fc964ff", "7f9619ff-8b86-4d01-b42d-00c04fc964ff"


async def test_a_login_by_token_needs_the_uuid_of_its_account(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    TokenChecks(monkeypatch)
    cluster.session.uuids[AccountId(1)] = OWN
    edge = await cluster.add_edge()
    results = []
    for uuid in (ANOTHER, OWN):
        await reply_to(dial(edge.endpoint, "/ws/service"), SERVICE_LOGIN.format(uuid, SERVICE_TOKEN))
        results.append([client.connection.account for client in edge.endpoint.clients.values()])
    assert results == [[NO_ACCOUNT], [NO_ACCOUNT, AccountId(1)]]
    assert cluster.auth.requests_of(Login) == [], "only auth counts attempts, so a token is none"


async def test_unread_messages_are_counted_for_dialects_that_show_them(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    TokenChecks(monkeypatch)
    counted: list[AccountId] = []

    async def count(_lookup: AccountLookup, account: AccountId) -> int:
        counted.append(account)
        return 3

    monkeypatch.setattr(AccountLookup, "count_unread", count)
    cluster.session.uuids[AccountId(1)] = OWN
    edge = await cluster.add_edge()
    await reply_to(dial(edge.endpoint, "/ws/service"), SERVICE_LOGIN.format(OWN, SERVICE_TOKEN))
    await reply_to(dial(edge.endpoint, "/ws/service"), SERVICE_LOGIN.replace(":1,", ":2,").format(ANOTHER, "secret"))
    await reply_to(dial(edge.endpoint, "/ws/pipe"), REQUESTS[1].format(1))
    assert counted == []
    assert (await reply_to(dial(edge.endpoint, "/ws/pipe"), "login|101|right")).startswith("login_succ|登录成功！|101|")
    assert counted == [AccountId(101)]


def is_silent(edge: Edge) -> bool:
    try:
        edge.auth_state.require_service()
    except RequestError:
        return True
    return False


async def test_while_the_edge_is_cut_off_from_nats_a_login_is_answered_at_once(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = TcpProxy(cluster.nats.port)
    await proxy.start()
    cluster.stack.push_async_callback(proxy.close)
    edge = await cluster.add_edge(nats_port=proxy.port)
    proxy.time_out()
    with monkeypatch.context() as patch:
        patch.setattr(auth_state, "_SILENCE_SECONDS", 1.5)
        await until(lambda: is_silent(edge))
        for path, frame in (("/ws/pipe", "login|1|right"), ("/ws/ourchat-v2", V2_LOGIN)):
            wire = dial(edge.endpoint, path)
            async with asyncio.timeout(1.0):
                await reply_to(wire, frame)
    assert json.loads(wire.received[-1])["status"] == 2
    proxy.clear()
    async with asyncio.timeout(WAIT_SECONDS):
        while '"status":0' not in await reply_to(wire, frame):
            await asyncio.sleep(0.1)
