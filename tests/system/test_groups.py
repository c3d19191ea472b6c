"""Groups of native clients on two edges, with a client of an older protocol.

The tests are about several new members at once, versions of the member list, and the accounts that have reacted.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.cluster import Cluster
from tests.system.conftest import Enter, registered
from tests.system.users import DialectUser, NativeUser

pytestmark = pytest.mark.xdist_group("system")


@pytest.fixture
def ann(connect: Enter) -> NativeUser:
    registered(connect)  # this account uses the first edge, so that Ann is at the second
    return registered(connect)


def befriend(one: NativeUser, other: NativeUser) -> None:
    for user, friend in ((one, other), (other, one)):
        user.do("befriend", account=friend.number)
    one.event("friend")


def new_friends(ann: NativeUser, connect: Enter, count: int) -> list[NativeUser]:
    found = [connect() for _ in range(count)]
    for one in found:
        one.register()
        befriend(ann, one)
    return found


def test_several_are_invited_and_get_every_later_message(ann: NativeUser, connect: Enter, system: Cluster) -> None:
    """The members are on both edges.

    A client of v1 is notified of each added member. An account that is banned, blocks the inviter or does not exist is
    not added, but the others are.
    """
    bob, cem, dan, eve, fay = new_friends(ann, connect, 5)
    chat = ann.call("create", name="Fruit", members=[])["chat"]
    ann.call("send", chat=chat, text="before", nonce="1")
    with DialectUser(system.edges[1], "ourchat-v1") as vic:
        vic.register()
        ann.do("befriend", account=vic.number)
        vic.send({"code": 9, "time": 0, "data": {"add_ocid": ann.number, "ocid": vic.number}})
        ann.event("friend")
        ann.do("ban", chat=chat, account=dan.number)
        eve.do("block", account=ann.number)
        wanted = [bob.number, dan.number, 2**40, vic.number, eve.number, cem.number]
        reply = ann.call("invite", chat=chat, accounts=wanted)
        assert reply["added"] == [bob.number, vic.number, cem.number]
        assert reply["rejected"] == {
            str(dan.number): "forbidden", str(2**40): "not_found", str(eve.number): "forbidden",
        }  # fmt: skip
        sent = ann.call("send", chat=chat, text="welcome", nonce="2")
        for one in (bob, cem):
            assert one.event("chat")["version"] <= reply["version"]
            joined = {(event["account"], event["version"]) for event in [one.event("member") for _ in range(3)]}
            assert {account for account, _ in joined} == {*reply["added"]}
            assert max(version for _, version in joined) == reply["version"]
            assert one.event("message")["index"] == sent["index"]
            assert [one["index"] for one in one.call("history", chat=chat)["messages"]] == [sent["index"]]
        for number in reply["added"]:
            vic.receive('"code":10', '"group_id"', f'"ocid":{number}')
        vic.receive("welcome")
    again = ann.call("invite", chat=chat, accounts=wanted)
    assert again | {"re": 0} == reply | {"re": 0}, "members stay"
    assert ann.call("invite", chat=chat, account=bob.number)["error"]["code"] == "conflict"
    assert bob.call("invite", chat=chat, accounts=[fay.number])["error"]["code"] == "forbidden"
    assert ann.call("invite", chat=chat, accounts=[*range(1, 102)])["error"]["field"] == "accounts"
    assert ann.call("members", chat=chat)["version"] == reply["version"]


def test_the_same_accounts_are_invited_at_once_by_all_admins(ann: NativeUser, connect: Enter) -> None:
    """Each account joins only once. The order of the joins does not matter."""
    bob, *others = new_friends(ann, connect, 5)
    for one in others:
        befriend(bob, one)
    numbers = [one.number for one in others]
    chat = ann.call("create", name="Fruit", members=[bob.number])["chat"]
    ann.call("role", chat=chat, account=bob.number, role="admin")
    before = ann.call("members", chat=chat)["version"]
    with ThreadPoolExecutor() as pool:
        orders = ((ann, numbers), (bob, numbers[::-1]))
        replies = [*pool.map(lambda one: one[0].call("invite", chat=chat, accounts=one[1]), orders)]
    assert all({*reply["added"]} == {*numbers} and reply["rejected"] == {} for reply in replies)
    listed = ann.call("members", chat=chat, since=before)
    assert listed["version"] == before + 2 * len(numbers), "two changes for each"
    assert sorted(one["account"] for one in listed["members"]) == sorted(numbers)
    for one in others:
        assert one.event("chat")["chat"] == chat
        joins = [one.event("member")["account"] for _ in numbers]
        assert sorted(joins) == sorted(numbers)
