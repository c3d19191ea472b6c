"""Commands that meet a kill of session: each has its effect once, and one answer."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.cluster import Cluster
from tests.support.waiting import WAIT_SECONDS
from tests.system.test_http_operations import post, register

pytestmark = pytest.mark.xdist_group("system")

_GROUPS = 150
_KILLED_AT = (30, 70, 110)
_USERS = 8


def test_groups_that_are_made_while_session_is_killed_exist_once(system: Cluster) -> None:
    system.wait_for_edges(WAIT_SECONDS)
    edge = system.edges[0]
    users = [register(edge) for _ in range(_USERS)]

    def create(number: int) -> int:
        token = users[number % _USERS]["token"]
        return post(edge, "create", token, name=f"group {number}", members=[]).status

    with ThreadPoolExecutor(_USERS) as pool:
        creating = [pool.submit(create, number) for number in range(_GROUPS)]
        for number in _KILLED_AT:
            creating[number].result()
            system.kill("session")
        answers = [one.result() for one in creating]
    names: Counter[str] = Counter()
    for user in users:
        names.update(chat.get("name", "") for chat in post(edge, "sync", user["token"], have={}).body["chats"])
    assert Counter(answers) == {200: _GROUPS}
    assert names == dict.fromkeys((f"group {number}" for number in range(_GROUPS)), 1)
