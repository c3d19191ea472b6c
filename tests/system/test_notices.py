"""The operator tells people something, as they see it in each dialect: once, whoever is away and however often it is
tried."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from shared.contract.ids import SYSTEM_ACCOUNT
from tests.drills.cluster import Cluster
from tests.system.operating import admin
from tests.system.users import DialectUser

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(120)]

TEXT = "Closed from ten to eleven"


class Town:
    """One person of each dialect, at the edges by turns."""

    def __init__(self, system: Cluster, stack: ExitStack) -> None:
        self._system = system
        dialects = ("ourchat-v0", "ourchat-v1", "ourchat-v2", "pipe", "service")
        edges = enumerate(dialects)
        people = [stack.enter_context(DialectUser(system.edges[at % 2], dialect)).register() for at, dialect in edges]
        self.zoe, self.vic, self.wil, self.pat, self.sue = people

    def notice(self, text: str, *people: DialectUser) -> str:
        named = [part for one in people for part in ("--to", str(one.number))]
        return admin(self._system, "notice", text, "--yes", *named)

    def back(self, one: DialectUser, edge: int) -> DialectUser:
        """In v1, at this edge."""
        again = DialectUser(self._system.edges[edge], "ourchat-v1")
        again.login_v1(one.number, one.tag)
        return again

    def ping(self, *people: DialectUser) -> None:
        """Said by somebody else after all else: whoever hears it has heard everything before."""
        members = [str(one.number) for one in people]
        made = self.wil.request({"code": 8, "members": members, "name": "s"}, '"code":9,"status":0')
        sender = {"session_id": json.loads(made)["session_id"]}
        self.wil.request({"code": 0, "sender": sender, "msg": [{"type": 0, "text": "ping"}]}, '"code":0', "ping")
        for one in people:
            one.receive("ping")


@pytest.fixture
def town(system: Cluster) -> Iterator[Town]:
    with ExitStack() as stack:
        yield Town(system, stack)


def data(frame: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(frame)["data"]
    return found


def notices(one: DialectUser) -> list[str]:
    """That came besides those it has heard."""
    return [frame for frame in one.pending if TEXT in frame]


def test_everybody_sees_a_notice_as_a_private_message(town: Town) -> None:
    told = town.notice(TEXT, town.zoe, town.vic, town.wil, town.pat, town.sue)
    assert told.startswith("5 of 5 accounts have the notice ")
    assert data(town.zoe.receive(TEXT))["sender_id"] == str(SYSTEM_ACCOUNT)
    assert data(town.vic.receive(TEXT))["sender"] == {"ocid": SYSTEM_ACCOUNT, "private_id": town.vic.number}
    assert town.pat.receive(TEXT).startswith(f"message|0|{SYSTEM_ACCOUNT}|")
    heard = json.loads(town.wil.receive(TEXT))
    assert heard["sender"]["ocid"] == str(SYSTEM_ACCOUNT)
    session = heard["sender"]["session_id"]
    town.wil.receive('"code":9', f'"session_id":"{session}"')
    chats = town.sue.request({"service_code": 4, "content": {"token": town.sue.token}}, '"values"')
    (chat,) = json.loads(chats)["content"]["values"]
    assert (chat["type"], chat["name"], len(chat["usrs"])) == ("service", "Dragoman", 2)


def test_nobody_is_told_twice_and_who_was_away_is_told_at_the_next_login(town: Town) -> None:
    late = town.zoe
    away = town.vic
    away.connection.close()
    for _ in range(2):
        assert town.notice(TEXT, town.pat, away, town.wil).startswith("3 of 3 accounts have the notice ")
    town.pat.receive(TEXT)
    town.wil.receive('"code":9')
    town.wil.receive(TEXT)
    with town.back(away, edge=1) as back:
        back.receive(TEXT)
        assert town.notice(TEXT, town.pat, back, town.wil, late).startswith("4 of 4 ")
        late.receive(TEXT)
        town.ping(back, town.pat, late)
        assert [notices(one) for one in (back, town.pat, town.wil, late)] == [[]] * 4
        back.connection.close()
    town.notice(TEXT, away)
    with town.back(away, edge=0) as again:
        town.ping(again)
        assert notices(again) == []


def test_nobody_answers_a_notice(town: Town) -> None:
    """Neither where it was told nor by opening a chat."""
    vic, wil, pat, sue = town.vic, town.wil, town.pat, town.sue
    town.notice(TEXT, wil, pat, sue)
    session = json.loads(wil.receive(TEXT))["sender"]["session_id"]
    answer = {"code": 0, "sender": {"session_id": session}, "msg": [{"type": 0, "text": "what?"}]}
    wil.request(answer, '"code":18', "nobody reads what is said in this chat")
    pat.receive(TEXT)
    pat.request(f"send_message|0|{pat.number}|{SYSTEM_ACCOUNT}|0|what?|{pat.token}", "send_message_error|")
    listed = sue.request({"service_code": 4, "content": {"token": sue.token}}, '"values"')
    chat = json.loads(listed)["content"]["values"][0]["id"]
    sue.request({"service_code": 5, "content": {"token": sue.token, "chat": chat, "msg": "what?"}}, '"state_code":403')
    sender = {"ocid": vic.number, "private_id": SYSTEM_ACCOUNT}
    vic.request({"code": 0, "time": 0, "data": {"sender": sender, "msg": "hi"}}, '"code":18', "only tells notices")


def test_nobody_is_the_one_who_tells_notices(town: Town, system: Cluster) -> None:
    """Its number opens nothing and befriends nobody, its name in service is taken; who it is can be seen."""
    shown = town.pat.request(
        f"get_user_info|{town.pat.number}|{SYSTEM_ACCOUNT}|{town.pat.token}", "friend_detail_info|"
    )
    assert "|Dragoman|" in shown
    town.pat.request(f"add_friend|{town.pat.number}|{SYSTEM_ACCOUNT}|hi|{town.pat.token}", "add_friend_error|")
    for password in ("", "x"):
        login = {"account": str(SYSTEM_ACCOUNT), "password": password}
        with DialectUser(system.edges[0], "ourchat-v1") as stranger:
            answer = stranger.request({"code": 6, "time": 0, "data": login}, '"code":')
            assert '"state":0' not in answer
