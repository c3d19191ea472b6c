"""Friendships and memberships as v1 shows them after an absence, and the names beside messages."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.system.users import DialectUser

pytestmark = pytest.mark.xdist_group("system")

Enter = Callable[[str], DialectUser]


@pytest.fixture
def enter(system: Cluster) -> Iterator[Enter]:
    """A function that registers a new account in a dialect.

    The edges alternate, and the connections end with the test.
    """
    with ExitStack() as stack:
        count = iter(range(1_000))
        yield lambda dialect: stack.enter_context(DialectUser(system.edges[next(count) % 2], dialect)).register()


@pytest.fixture
def vic(enter: Enter) -> DialectUser:
    """The user of v1 who is notified."""
    return enter("ourchat-v1")


def v1(code: int, **data: object) -> dict[str, Any]:
    return {"code": code, "time": 0, "data": data}


def is_notified(vic: DialectUser, code: int, **data: object) -> None:
    """Checks that the user receives a frame with this code and exactly these data."""
    frame = json.loads(vic.receive(f'"code":{code},'))
    assert (frame["data"], type(frame["time"])) == (data, int)


def group_of_pipe(pat: DialectUser) -> int:
    return int(pat.request(f"create_group|{pat.number}|pipe's|{pat.token}", "create_group_succ|").split("|")[1])


def test_stored_notifications_arrive_once_at_the_next_login(vic: DialectUser, enter: Enter, system: Cluster) -> None:
    wil, pat = enter("ourchat-v2"), enter("pipe")
    group = group_of_pipe(pat)
    vic.send(v1(9, group_id=group, ocid=vic.number))
    vic.send(v1(9, add_ocid=pat.number, ocid=vic.number))
    pat.receive("group_request|1|")
    pat.receive("friend_request|1|")
    vic.connection.close()
    pat.request(f"hand_group_request|{vic.number}|{group}|0|{pat.token}", "hand_group_request_succ|")
    pat.request(f"hand_friend_request|{pat.number}|{vic.number}|1|{pat.token}", "hand_friend_request_succ|")
    made = wil.request({"code": 8, "members": [str(vic.number)], "name": "v2's"}, '"code":9,"status":0')
    session = int(json.loads(made)["session_id"])
    with DialectUser(system.edges[1], "ourchat-v1") as back:
        back.login_v1(vic.number, vic.tag)
        is_notified(back, 11, group_id=group, ocid=vic.number)
        is_notified(back, 10, add_ocid=pat.number, ocid=vic.number)
        is_notified(back, 10, group_id=session, group_name="v2's", ocid=vic.number)
        pat.request(f"add_friend|{pat.number}|{vic.number}||{pat.token}", "add_friend_error|")
    with DialectUser(system.edges[0], "ourchat-v1") as again:
        again.login_v1(vic.number, vic.tag)
        pat.request(f"send_message|0|{pat.number}|{vic.number}|0|ping|{pat.token}", "send_message_succ|")
        again.receive('"msg":"ping"')
        assert again.pending == []


def v2_sends(wil: DialectUser, session: int, text: str) -> None:
    frame = {"code": 0, "sender": {"session_id": str(session)}, "msg": [{"type": 0, "text": text}]}
    wil.request(frame, '"code":0', text)


def test_senders_are_shown_by_their_present_names(enter: Enter, system: Cluster) -> None:
    """Users are renamed on another edge than the one on which they post. A deleted account has no name."""
    wil, pat, sue = enter("ourchat-v2"), enter("pipe"), enter("service")
    members = [str(pat.number), str(sue.number)]
    made = wil.request({"code": 8, "members": members, "name": "s"}, '"code":9,"status":0')
    session = int(json.loads(made)["session_id"])
    v2_sends(wil, session, "one")
    pat.receive(f"|v2-{wil.tag}: one")
    with DialectUser(system.edges[1], "ourchat-v2") as elsewhere:
        elsewhere.request({"code": 6, "login_type": 0, "account": wil.mail, "password": wil.tag}, '"code":7,"status":0')
        elsewhere.request({"code": 19, "ocid": str(wil.number), "data": {"nickname": "other"}}, '"code":20,"status":0')
    sees_new_name(wil, pat, session)
    wil.request({"code": 16}, '"code":17,"status":0')
    walk = {"service_code": 9, "content": {"token": sue.token, "chat": session, "index": 0, "count": 20}}
    names = {one["name"] for one in json.loads(sue.request(walk, '"values"'))["content"]["values"]}
    assert names == {"已注销用户"}
    pat.request(f"get_user_info|{pat.number}|{wil.number}|{pat.token}", "friend_detail_info|已注销用户|")


def sees_new_name(wil: DialectUser, pat: DialectUser, session: int) -> None:
    """Waits until a message shows the new name, which takes at most seconds."""
    for number in range(50):
        v2_sends(wil, session, f"again {number}")
        if "|other: again" in pat.receive(f": again {number}"):
            return
        time.sleep(0.1)
    raise AssertionError("still called as before")
