"""Recovery by mail on an edge: before a login, and with a replica of auth whose version does not have it."""

from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry

from shared.bus.client import Bus
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.recovery import RecoverByTicket, Recovered, RequestRecovery
from shared.contract.routes import Ack
from tests.unit.services.edge.client.test_named_messages import NativeClient, connect
from tests.unit.services.edge.conftest import EdgeCluster

SECRET = {"scheme": "plain", "value": "new"}


async def serve(
    cluster: EdgeCluster,
    request: Callable[[RequestRecovery], Awaitable[Ack]],
    recover: Callable[[RecoverByTicket], Awaitable[Recovered]],
) -> None:
    """Starts a replica of auth that serves recovery by mail. The fake auth of the previous version also runs."""
    auth = Bus(cluster.nats.settings("auth"), "auth", CollectorRegistry())
    auth.serve(RequestRecovery.route, request)
    auth.serve(RecoverByTicket.route, recover)
    await cluster.run(auth)


async def test_a_mail_and_its_ticket_need_no_login(cluster: EdgeCluster) -> None:
    requests: list[RequestRecovery | RecoverByTicket] = []

    async def record(request: RequestRecovery | RecoverByTicket) -> Recovered:
        requests.append(request)
        return Recovered()

    await serve(cluster, record, record)
    client = NativeClient(await cluster.add_edge())
    for members in ({"identifier": "ann"}, {"ticket": "t", "secret": SECRET}):
        reply = await client.reply(client.send(op="recover", **members))
        assert reply == {"re": reply["re"]}
    requested, recovered = requests
    assert isinstance(requested, RequestRecovery)
    assert isinstance(recovered, RecoverByTicket)
    assert (requested.identifier, recovered.ticket, recovered.secret.value) == ("ann", "t", "new")
    assert requested.origin == recovered.origin
    assert requested.origin.client == "native"


@pytest.mark.parametrize("members", [{"identifier": "ann"}, {"ticket": "t", "secret": SECRET}])
async def test_beside_auth_of_the_version_before_it_is_unavailable(
    cluster: EdgeCluster, members: dict[str, object]
) -> None:
    client = NativeClient(await cluster.add_edge(request_seconds=0.5))
    error = (await client.reply(client.send(op="recover", **members)))["error"]
    assert (error["code"], error["retry_ms"]) == ("unavailable", 1000)


async def test_a_recovery_by_ticket_is_answered_before_the_login_ends(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recovery gets its reply even if no service lists the account's webhooks, links and bots."""
    monkeypatch.setattr("services.edge.handlers.auth._COUNT_SECONDS", 0.3)

    async def recover(request: RecoverByTicket) -> Recovered:
        await cluster.auth.revoke(1)
        return Recovered(AccountId(1))

    async def reject(request: RequestRecovery) -> Ack:
        raise RequestError(ErrorCode.FORBIDDEN, "this server does not mail tickets for a new password")

    await serve(cluster, reject, recover)
    await cluster.add_edge()
    client, other = await connect(cluster), await connect(cluster)
    error = (await client.reply(client.send(op="recover", identifier="1")))["error"]
    assert error["code"] == "forbidden"
    sent = client.send(op="recover", ticket="t", secret=SECRET)
    assert await client.reply(sent) == {"re": sent}
    await client.socket.until(lambda: client.socket.closed_with is not None)
    await other.socket.until(lambda: other.socket.closed_with is not None)
