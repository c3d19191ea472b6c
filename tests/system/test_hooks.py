"""Programs post to a group by a hook; users of older protocols see the messages as any others."""

import http.client
import json
from urllib.parse import urlsplit

import pytest

from tests.drills.cluster import Cluster
from tests.support.waiting import WAIT_SECONDS
from tests.system.test_http_operations import Posted, post, register
from tests.system.users import DialectUser

pytestmark = pytest.mark.xdist_group("system")


def post_hook(edge: str, secret: str, text: str, key: str = "") -> Posted:
    headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
    connection = http.client.HTTPConnection(urlsplit(edge).netloc, timeout=WAIT_SECONDS)
    try:
        connection.request("POST", f"/hooks/{secret}", json.dumps({"text": text, "channel": "#ops"}), headers)
        response = connection.getresponse()
        body = response.read()
        return Posted(response.status, {} if body == b"ok" else json.loads(body))
    finally:
        connection.close()


def test_a_program_posts_by_a_hook(system: Cluster) -> None:
    one, other = system.edges[:2]
    ann, bob = register(one), register(other)
    with DialectUser(other, "pipe") as pat:
        pat.register()
        members = [bob["account"], pat.number]
        chat = post(one, "create", ann["token"], name="Ops", members=members).body["chat"]
        assert post(other, "create_hook", bob["token"], chat=chat, name="Grafana").status == 403
        hook = post(one, "create_hook", ann["token"], chat=chat, name="Grafana").body
        for edge in (one, other):
            assert post_hook(edge, hook["secret"], "Disk full|now", "k").status == 200
        pat.receive("Grafana: Disk full")
        assert post_hook(one, hook["secret"], "another", "k").status == 409
        assert post_hook(one, hook["secret"], "x" * 20_000).status == 413
        assert post_hook(one, hook["hook"], "a").status == 404
    (message,) = post(other, "history", bob["token"], chat=chat).body["messages"]
    assert (message["sender"], message["segments"][0]["text"]) == (ann["account"], "Grafana: Disk full|now")
    assert post(one, "delete_hook", ann["token"], chat=chat, hook=hook["hook"]).status == 200
    assert post_hook(other, hook["secret"], "a").status == 404


def test_a_hook_does_no_more_than_its_maker(system: Cluster) -> None:
    one, other = system.edges[:2]
    ann, bob = register(one), register(other)
    chat = post(one, "create", ann["token"], name="Ops", members=[bob["account"]]).body["chat"]
    assert post(one, "role", ann["token"], chat=chat, account=bob["account"], role="admin").status == 200
    hook = post(other, "create_hook", bob["token"], chat=chat, name="CI").body
    assert post_hook(one, hook["secret"], "built").status == 200
    assert post(one, "role", ann["token"], chat=chat, account=bob["account"], role="member").status == 200
    assert post_hook(other, hook["secret"], "built").status == 403
    assert post(one, "kick", ann["token"], chat=chat, account=bob["account"]).status == 200
    assert post_hook(other, hook["secret"], "built").status == 404
