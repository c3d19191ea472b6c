"""Programs post to a group over an incoming webhook."""

import http.client
import json
from urllib.parse import urlsplit

import pytest

from tests.support.cluster import Cluster
from tests.support.native_http import Posted, post, register
from tests.support.waiting import WAIT_SECONDS
from tests.system.operating import admin
from tests.system.users import DialectUser

pytestmark = pytest.mark.xdist_group("system")


def post_to_webhook(edge: str, secret: str, text: str, key: str = "") -> Posted:
    headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
    connection = http.client.HTTPConnection(urlsplit(edge).netloc, timeout=WAIT_SECONDS)
    try:
        connection.request("POST", f"/hooks/{secret}", json.dumps({"text": text, "channel": "#ops"}), headers)
        response = connection.getresponse()
        body = response.read()
        return Posted(response.status, {} if body == b"ok" else json.loads(body))
    finally:
        connection.close()


def test_a_program_posts_by_a_webhook(system: Cluster) -> None:
    one, other = system.edges[:2]
    ann, bob = register(one), register(other)
    with DialectUser(other, "pipe") as pat:
        pat.register()
        members = [bob["account"], pat.number]
        chat = post(one, "create", ann["token"], name="Ops", members=members).body["chat"]
        assert post(other, "create_hook", bob["token"], chat=chat, name="Grafana").status == 403
        hook = post(one, "create_hook", ann["token"], chat=chat, name="Grafana").body
        for edge in (one, other):
            assert post_to_webhook(edge, hook["secret"], "Disk full|now", "k").status == 200
        pat.receive("Grafana: Disk full")
        assert post_to_webhook(one, hook["secret"], "another", "k").status == 409
        assert post_to_webhook(one, hook["secret"], "x" * 20_000).status == 413
        assert post_to_webhook(one, hook["hook"], "a").status == 404
    (message,) = post(other, "history", bob["token"], chat=chat).body["messages"]
    assert (message["sender"], message["segments"][0]["text"]) == (hook["account"], "Disk full|now")
    sender = post(other, "profile", bob["token"], account=hook["account"]).body
    assert (sender["nickname"], sender["bot"]) == ("Grafana", True)
    assert sender["signature"].endswith(f"{ann['account']:010d}")
    for one_of_them in (ann, bob):
        assert post(one, "unread", one_of_them["token"]).body["total"] == 1
    token = {"account": hook["account"], "name": "x", "scopes": ["send"]}
    assert post(one, "create_bot_token", ann["token"], **token).status == 404
    assert hook["account"] not in post(one, "chat", ann["token"], chat=chat).body["members"]
    assert post(one, "delete_hook", ann["token"], chat=chat, hook=hook["hook"]).status == 200
    assert post_to_webhook(other, hook["secret"], "a").status == 404


def test_a_webhook_does_no_more_than_its_maker(system: Cluster) -> None:
    one, other = system.edges[:2]
    ann, bob = register(one), register(other)
    chat = post(one, "create", ann["token"], name="Ops", members=[bob["account"]]).body["chat"]
    assert post(one, "role", ann["token"], chat=chat, account=bob["account"], role="admin").status == 200
    hook = post(other, "create_hook", bob["token"], chat=chat, name="CI").body
    assert post_to_webhook(one, hook["secret"], "built").status == 200
    assert post(one, "role", ann["token"], chat=chat, account=bob["account"], role="member").status == 200
    assert post_to_webhook(other, hook["secret"], "built").status == 403
    assert post(one, "kick", ann["token"], chat=chat, account=bob["account"]).status == 200
    assert post_to_webhook(other, hook["secret"], "built").status == 404


def test_a_new_password_shows_what_the_account_has_made(system: Cluster) -> None:
    """The reply to a new password contains the numbers of the account's webhooks, links and bots' tokens, because a
    thief may have created them.
    """
    one, other = system.edges[:2]
    ann, bob = register(one), register(other)
    chat = post(one, "create", ann["token"], name="Ops").body["chat"]
    hook = post(one, "create_hook", ann["token"], chat=chat, name="CI").body
    link = post(one, "link", ann["token"], chat=chat).body["link"]
    bot = post(one, "create_bot", ann["token"], nickname="Thief").body["account"]
    token = post(one, "create_bot_token", ann["token"], account=bot, name="x", scopes=["read"]).body["token"]
    new = {"scheme": "plain", "value": "orange juice"}
    changed = post(other, "password", ann["token"], old=ann["secret"], new=new).body
    assert changed["made"] == {"hooks": 1, "outgoing_hooks": 0, "links": 1, "bot_tokens": 1}
    made = post(one, "made", changed["token"]).body
    assert [one["hook"] for one in made["hooks"]] == [hook["hook"]]
    assert [one["link"] for one in made["links"]] == [link]
    assert post(one, "export", changed["token"]).body["hooks"] == made["hooks"]
    assert "incoming webhooks: 1, links: 1, tokens of bots: 1" in admin(
        system, "user", "reset-password", str(ann["account"]), "--yes"
    )
    assert post(other, "friends", token).status == 200
    admin(system, "user", "end-made", str(ann["account"]), "--yes")
    system.wait_for(lambda: post(other, "friends", token).status == 401, WAIT_SECONDS)
    assert post_to_webhook(other, hook["secret"], "built").status == 404
    assert post(other, "join_link", bob["token"], link=link).status == 404
    assert post(other, "end_made", bob["token"]).status == 200
