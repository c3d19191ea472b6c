"""With only a token, the answer for the recovery of an account cannot be replaced."""

import pytest
from prometheus_client import CollectorRegistry

from shared.bus.client import Bus
from shared.contract.recovery import SetSecurity
from shared.contract.routes import Ack
from tests.unit.services.edge.client.test_named_messages import NativeClient, connect
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import dial, reply_to
from tests.unit.services.edge.login.test_login import SERVICE_TOKEN, TokenChecks


async def test_a_token_alone_changes_no_security_question(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    TokenChecks(monkeypatch)
    changed: list[SetSecurity] = []

    async def change(request: SetSecurity) -> Ack:
        changed.append(request)
        return Ack()

    auth = Bus(cluster.nats.settings("auth"), "auth", CollectorRegistry())
    auth.serve(SetSecurity.route, change)
    await cluster.run(auth)
    by_token = NativeClient(await cluster.add_edge())
    assert "error" not in await by_token.reply(by_token.send(op="token", token=SERVICE_TOKEN))
    wanted = {"op": "set_security", "question_id": 3, "answer": "Rex"}
    assert (await by_token.reply(by_token.send(**wanted)))["error"]["code"] == "forbidden"
    profile = f"update_profile|1|{SERVICE_TOKEN}|Ann|1||3|Rex"
    reply = await reply_to(dial(cluster.edges[0].endpoint, "/ws/pipe"), profile)
    assert reply.startswith("update_profile_error|log in by your secret")
    assert changed == []
    by_secret = await connect(cluster)
    assert "error" not in await by_secret.reply(by_secret.send(**wanted))
    assert len(changed) == 1
