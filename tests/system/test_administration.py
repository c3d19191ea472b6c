"""The operator's commands on a running system, and how clients on two edges see their effects."""

import contextlib
import http.client
import json
import time
from pathlib import Path

import pytest

from dragoman_client.codec.base import ClientAccount
from tests.support.cluster import Cluster
from tests.support.commands import DRAGOMAN, run, run_dragoman
from tests.system.conftest import Dial
from tests.system.operating import admin
from tests.system.users import V2User, new_account

pytestmark = pytest.mark.xdist_group("system")

REVOKED_SECONDS = 20.0
"""An edge that has missed an event requests the revocations once a minute.

The additional time is for a busy machine.
"""


def login_status(client: V2User, account: ClientAccount, password: str) -> int:
    """Tries to log in, and returns the status."""
    login = {"code": 6, "login_type": 0, "account": account.email, "password": password}
    return int(client.request(login, 7)["status"])


def test_a_disabled_account_is_disconnected_everywhere_at_once(system: Cluster, dial: Dial) -> None:
    here, there = dial(system.edges[0]).register(), dial(system.edges[1])
    account = here.account
    there.login(account)
    output = admin(system, "user", "disable", account.email, "--yes")
    since = time.monotonic()
    assert output == f"account {account.number} is disabled\n"
    assert (here.closed(), there.closed()) == (1008, 1008)
    assert time.monotonic() - since < REVOKED_SECONDS
    stranger = dial(system.edges[1])
    assert login_status(stranger, account, account.secret) == login_status(stranger, account, "0" * 64) != 0
    admin(system, "user", "enable", account.email)
    assert login_status(stranger, account, account.secret) == 0


def test_a_chat_and_its_members_are_shown(system: Cluster, couple: tuple[V2User, V2User, int]) -> None:
    one, two, session = couple
    one.post(session, "hello")
    shown = json.loads(admin(system, "chat", "show", str(session), "--json"))
    assert (shown["chat"]["owner"], shown["members"], shown["messages"]) == (one.account.number, 2, 1)
    assert f"owner     {one.account.number:010d}\n" in admin(system, "chat", "show", str(session))
    members = json.loads(admin(system, "chat", "members", str(session), "--json"))
    assert [(member["account"], member["nickname"], member["role"]) for member in members] == [
        (one.account.number, one.account.name, "owner"),
        (two.account.number, two.account.name, "member"),
    ]


def test_an_export_holds_the_messages_of_the_account_and_of_no_other(
    system: Cluster, couple: tuple[V2User, V2User, int]
) -> None:
    one, two, session = couple
    one.post(session, "mine")
    two.post(session, "theirs")
    text = admin(system, "user", "export", one.account.email, "--yes")
    found = json.loads(text)
    assert found["account"]["email"] == one.account.email
    assert found["profile"]["nickname"] == one.account.name
    [chat] = [chat for chat in found["chats"] if chat["chat"]["id"] == session]
    assert [message["content"] for message in chat["said"]] == [[{"text": "mine"}]]
    assert "theirs" not in text
    assert "argon2" not in text


def test_an_unknown_chat_is_named(system: Cluster, tmp_path: Path) -> None:
    status, shown = run(
        [*DRAGOMAN, "admin", "chat", "show", "999999", "--data", str(system.data)], tmp_path / "log", 60
    )
    assert status == 1
    assert "there is no chat 999999" in shown


def test_a_running_system_is_found_healthy(system: Cluster, tmp_path: Path) -> None:
    few = ["--set", "edge.max_connections=10"]
    shown = run_dragoman(["doctor", "--data", system.data, *few], tmp_path / "log", 60)
    signs = {line[2:].split("  ")[0]: line[0] for line in shown.splitlines()}
    assert set(signs.values()) == {"✓"}
    assert {"nats setup", "streams", "valkey auth", "clock of valkey", "database message", "secrets"} < set(signs)


def test_old_tokens_are_valid_after_a_rotation(system: Cluster, dial: Dial) -> None:
    token = dial(system.edges[0]).request(V2User.registration(new_account()), 5)["token"]
    before = kids(system)
    assert admin(system, "keys", "rotate").startswith("the key ")
    assert before < kids(system)
    for edge in system.edges:
        assert upload(edge, token) == 201
        assert upload(edge, token[:-8] + "AAAAAAAA") == 401


def kids(system: Cluster) -> set[str]:
    return {line.split()[0] for line in admin(system, "keys", "list").splitlines()[1:]}


def upload(edge: str, token: str) -> int:
    """Uploads a file with this token, and returns the HTTP status."""
    client = http.client.HTTPConnection(edge.removeprefix("ws://"), timeout=10)
    with contextlib.closing(client):
        client.request("POST", "/media?name=a.txt", b"text", {"Authorization": f"Bearer {token}"})
        return client.getresponse().status
