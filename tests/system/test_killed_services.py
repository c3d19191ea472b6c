"""Commands that meet a kill of their service, before its commit and behind it: each has its effect once, and one
answer. `test_repeated_requests.py` of each service walks over all operations; here the process really dies."""

import secrets
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import RELAXED, Cluster
from tests.support.waiting import WAIT_SECONDS
from tests.system.test_http_operations import post, register

pytestmark = pytest.mark.xdist_group("system")

User = dict[str, Any]
Prepare = Callable[[str, User, User], dict[str, Any]]
_COUNTED = {
    "auth": ("accounts", "logins", "bots", "bot_tokens", "revocations"),
    "session": ("chat", "member", "link", "hook", "ban", "friendship"),
}


def group(edge: str, user: User, other: User) -> dict[str, Any]:
    chat = post(edge, "create", user["token"], name="g", members=[other["account"]]).body["chat"]
    return {"chat": chat}


def member(edge: str, user: User, other: User) -> dict[str, Any]:
    return {**group(edge, user, other), "account": other["account"]}


def bot(edge: str, user: User, other: User) -> dict[str, Any]:
    return {"account": post(edge, "create_bot", user["token"], nickname="Weather").body["account"]}


OPERATIONS: list[tuple[str, str, Prepare]] = [
    ("session", "create", lambda edge, user, other: {"name": "g", "members": [other["account"]]}),
    ("session", "kick", member),
    ("session", "link", group),
    ("session", "create_hook", lambda *users: {**group(*users), "name": "Grafana"}),
    ("auth", "register", lambda edge, user, other: {
        "username": f"bot{secrets.token_hex(6)}", "nickname": "Bot", "secret": user["secret"],
    }),
    ("auth", "password", lambda edge, user, other: {
        "old": user["secret"], "new": {"scheme": "plain", "value": "another secret"},
    }),
    ("auth", "create_bot_token", lambda *users: {**bot(*users), "name": "x", "scopes": ["send"]}),
    ("auth", "delete_bot", bot),
]  # fmt: skip
"""One of each way to carry a command out: the process starts again after each kill, which takes seconds."""


@pytest.fixture(scope="module")
def dying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Path]]:
    place = tmp_path_factory.mktemp("dying")
    program = (sys.executable, "-m", "tests.system.dying", str(place), "up")
    with Cluster(place / "data", *RELAXED, edges=1, program=program) as cluster:
        cluster.wait_for_edges(WAIT_SECONDS)
        yield cluster, place


def sizes(cluster: Cluster) -> dict[str, int]:
    found: dict[str, int] = {}
    for service, tables in _COUNTED.items():
        [path] = cluster.data.rglob(f"{service}.db")
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            known = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
            for table in known.intersection(tables):
                [(found[f"{service}.{table}"],)] = database.execute(f"SELECT count(*) FROM {table}")
    return found


def grown(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - size for name, size in before.items()}


def test_each_command_has_one_effect_and_one_answer(dying: tuple[Cluster, Path]) -> None:
    cluster, place = dying
    [edge] = cluster.edges
    for service, operation, prepare in OPERATIONS:
        effects: list[dict[str, int]] = []
        for phase in ("", "before", "after"):
            user, other = register(edge), register(edge)
            members, before = prepare(edge, user, other), sizes(cluster)
            if phase:
                (place / f"{service}.{phase}").touch()
            answer = post(edge, operation, "" if operation == "register" else user["token"], **members)
            assert answer.status == 200, (operation, phase, answer.body)
            assert not phase or not (place / f"{service}.{phase}").exists(), (operation, phase)
            effects.append(grown(before, sizes(cluster)))
        assert effects[1:] == effects[:-1], operation
