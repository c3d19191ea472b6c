"""IRC clients on two edges, with users of other protocols."""

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from urllib.request import Request, urlopen

import pytest

from dragoman_client.codec.base import ClientAccount
from local.ports import free_ports
from services.edge.identicons import avatar_png
from tests.support.cluster import RELAXED, Cluster
from tests.support.waiting import WAIT_SECONDS
from tests.system.operating import admin
from tests.system.users import DialectUser, IrcUser, NativeUser, V2User, posting

pytestmark = pytest.mark.xdist_group("irc")

Come = Callable[[int], IrcUser]
OPERATOR = "operator"


@pytest.fixture(scope="module")
def irc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    data, operators = tmp_path_factory.mktemp("irc") / "data", f'irc.operators=["{OPERATOR}"]'
    with Cluster(data, *RELAXED, "--tcp-port", str(free_ports(2)), "--set", operators) as cluster:
        yield cluster


@pytest.fixture
def come(irc: Cluster) -> Iterator[Come]:
    """Returns an IRC client with a new account, on the edge with this number."""
    with ExitStack() as stack:

        def enter(edge: int) -> IrcUser:
            with V2User(irc.edges[edge]) as registered:
                account = registered.register().account
            return stack.enter_context(IrcUser(irc.tcp[edge], account))

        yield enter


@pytest.fixture
def ann(irc: Cluster) -> Iterator[NativeUser]:
    with NativeUser(irc.edges[1]) as ann:
        ann.register()
        yield ann


def open_group(owner: NativeUser, *members: IrcUser) -> int:
    chat = int(owner.call("create", name="Fruit", join_policy="open")["chat"])
    for one in members:
        one.write(f"JOIN #x~{chat}")
        one.await_line(" 366 ")
    return chat


def test_a_picture_is_uploaded_as_on_irc_and_seen_as_a_picture(irc: Cluster, ann: NativeUser) -> None:
    with V2User(irc.edges[0]) as registered:
        account = registered.register().account
    with IrcUser(irc.tcp[0], account) as bob:
        chat = open_group(ann, bob)
        bob.write("VERSION")
        host = bob.await_line(" 005 ", "soju.im/FILEHOST=").partition("FILEHOST=")[2].split()[0]
        login = base64.b64encode(f"{account.number}:{account.secret}".encode()).decode()
        described = {"Authorization": f"Basic {login}", "Content-Disposition": 'attachment; filename="me.png"'}
        with urlopen(Request(host, avatar_png("account", 7), described), timeout=WAIT_SECONDS) as response:  # noqa: S310
            address = response.headers["Location"]
        bob.write(f"PRIVMSG #x~{chat} :{address}")
        (picture,) = ann.event("message")["segments"]
        assert (picture["t"], picture["media"]["name"], picture["media"]["url"]) == ("image", "me.png", address)
        bob.await_line(f"PRIVMSG #x~{chat} :me.png {address}")


def test_a_search_finds_messages_of_every_protocol_by_their_words(irc: Cluster, come: Come, ann: NativeUser) -> None:
    bob = come(0)
    chat = open_group(ann, bob)
    ann.do("send", chat=chat, segments=[{"t": "text", "text": "ripe apples"}], nonce="1")
    bob.await_line(f"PRIVMSG #Fruit~{chat} :ripe apples")
    bob.write("CAP REQ :batch soju.im/search", f"PRIVMSG #Fruit~{chat} :many apples")
    bob.await_line(f":{bob.nick}!", f"PRIVMSG #Fruit~{chat} :many apples")

    def found(*attributes: str) -> list[str]:
        time.sleep(0.5)  # the rate of searches
        bob.write(f"SEARCH {';'.join((f'in=#Fruit~{chat};text=apples', *attributes))}")
        bob.await_line("BATCH +", "soju.im/search")
        bob.await_line("BATCH -")
        lines = [line for line in bob.pending if line.startswith("@batch=")]
        bob.pending = [line for line in bob.pending if line not in lines]
        return [line.rpartition(" :")[2].strip() for line in lines]

    irc.wait_for(lambda: found() == ["ripe apples", "many apples"], WAIT_SECONDS)
    assert found("limit=1") == ["many apples"]
    assert found("limit=1", "after=2024-01-01T00:00:00.000Z") == ["ripe apples"]


def test_an_operator_is_heard_on_every_edge_and_ends_connections_there(irc: Cluster, come: Come) -> None:
    root, near, far = come(0), come(0), come(1)
    with DialectUser(irc.edges[0], "pipe") as operator:
        operator.account = ClientAccount(OPERATOR, operator.account.secret)
        operator.register()
        root.write(f"OPER {OPERATOR} {operator.tag}")
        root.await_line(" 381 ")
    for one in (near, far):
        one.write(f"MODE {one.nick} +w", "PING heard")
        one.await_line(" PONG ")
    root.write("WALLOPS :lunch at noon")
    for one in (near, far):
        one.await_line(f":{root.nick}!", "WALLOPS :lunch at noon")
    root.write(f"KILL {far.nick} :enough")
    far.await_line("ERROR :", f"Killed ({root.nick}: enough)")
    assert far.receive_line() == ""
    acts = ("oper", "kill", "wallops")
    listed = [one for act in acts for one in json.loads(admin(irc, "audit", "--act", act, "--json"))]
    actor, killed = (int(one.nick.rpartition("|")[2]) for one in (root, far))
    assert [(one["act"], one["by"], one["detail"]) for one in listed] == [
        ("oper", "operator", f"by {actor}"), ("kill", "operator", f"by {actor}"), ("wallops", "operator", ""),
    ]  # fmt: skip
    assert [one["account"] for one in listed[1:]] == [killed, actor]
    near.write("PING still")
    near.await_line("PONG", "still")
    near.write(f"KILL {root.nick} :no")
    near.await_line(" 481 ")


def missed(user: IrcUser, ann: NativeUser, chat: int) -> list[str]:
    """Returns the texts that the user has got, and removes them. Everything that was missed has come before a new
    message.
    """
    text = f"new {secrets.token_hex(4)}"
    ann.do("send", chat=chat, text=text, nonce=text)
    user.await_line(" PRIVMSG ", f":{text}")
    found = [line for line in user.pending if " PRIVMSG " in line]
    user.pending = [line for line in user.pending if line not in found]
    return [line.rpartition(" :")[2].strip() for line in found]


def test_a_client_that_requests_missed_messages_is_pushed_none(irc: Cluster, ann: NativeUser) -> None:
    """Each such client remembers what it has, so several clients of one account get everything once."""
    with V2User(irc.edges[0]) as registered:
        account = registered.register().account

    @contextmanager
    def enter(edge: int, capabilities: str) -> Iterator[IrcUser]:
        """Returns a connection, at whose end everything has arrived."""
        with IrcUser(irc.tcp[edge], account, f"message-tags echo-message batch {capabilities}") as user:
            yield user
            user.write("QUIT")
            user.await_line("ERROR ")
            assert user.receive_line() == ""

    with enter(0, "znc.in/playback") as bob:
        chat = open_group(ann, bob)
        ann.do("send", chat=chat, text="first", nonce="1")
        seen = bob.await_line(" PRIVMSG ", ":first").partition("time=")[2].partition(";")[0]
    for number in range(3):
        ann.do("send", chat=chat, text=f"missed {number}", nonce=f"missed {number}")
    ann.do("send", to=account.number, text="psst", nonce="private")
    since = f"{datetime.fromisoformat(seen).timestamp():.3f}"
    for edge in (0, 1):
        with enter(edge, "znc.in/playback") as bob:
            assert missed(bob, ann, chat) == []
            bob.write(f"PRIVMSG *playback :PLAY * {since}", "PING played")
            bob.await_line(" PONG ", "played")
            lines = [line for line in bob.pending if " PRIVMSG " in line and " :new " not in line]
            played = [line.rpartition(" :")[2].strip() for line in lines]
            assert sorted(played) == ["missed 0", "missed 1", "missed 2", "psst"]
            assert [one for one in played if one != "psst"] == ["missed 0", "missed 1", "missed 2"]
            assert all("time=" in line for line in lines)
    with enter(1, "draft/chathistory") as bob:
        assert missed(bob, ann, chat) == []
        bob.write(f"CHATHISTORY AFTER #x~{chat} timestamp={seen} 9", "PING read")
        bob.await_line(" PONG ", "read")
        assert [one for one in missed(bob, ann, chat) if "new" not in one] == ["missed 0", "missed 1", "missed 2"]
    with enter(0, "server-time") as bob:
        assert sorted(missed(bob, ann, chat)) == ["missed 0", "missed 1", "missed 2", "psst"]
    with enter(1, "server-time") as bob:
        assert missed(bob, ann, chat) == []


def test_each_device_gets_what_it_missed_once(irc: Cluster, ann: NativeUser) -> None:
    with V2User(irc.edges[0]) as registered:
        account = registered.register().account

    @contextmanager
    def enter(edge: int, device: str, *, politely: bool = True) -> Iterator[IrcUser]:
        with IrcUser(irc.tcp[edge], account, device=device) as bob:
            yield bob
            if politely:
                bob.write("QUIT")
                bob.await_line("ERROR ")

    def post(text: str) -> None:
        ann.do("send", chat=chat, text=text, nonce=secrets.token_hex(8))

    def missed_before(user: IrcUser, text: str) -> list[str]:
        """Sends a text. Returns the texts that the user has got before it."""
        post(text)
        user.await_line(" PRIVMSG ", f":{text}")
        found = [line.rpartition(" :")[2].strip() for line in user.pending if " PRIVMSG " in line]
        user.pending.clear()
        return found

    with enter(0, "laptop") as laptop:
        chat = open_group(ann, laptop)
    post("one")
    with enter(1, "phone") as phone:
        assert missed_before(phone, "two") == ["one"], "a new device begins where the account is"
        with enter(0, "laptop", politely=False) as laptop:
            assert missed_before(laptop, "three") == ["one", "two"]
            phone.await_line(" PRIVMSG ", ":three")
    post("four")
    with V2User(irc.edges[1]) as other:
        other.login(account)
        other.receive_where(lambda frame: "four" in json.dumps(frame))
    with enter(1, "laptop") as laptop:
        assert missed_before(laptop, "five") == ["four"]
    with enter(0, "phone") as phone:
        assert missed_before(phone, "six") == ["four", "five"]
    expected = ["six"]
    for number in range(20):
        with enter(number % 2, "laptop") as laptop:
            assert missed_before(laptop, f"again {number}") == expected
        expected = []
    with enter(1, "phone") as phone:
        assert missed_before(phone, "last") == [f"again {number}" for number in range(20)]


def test_a_closed_channel_stays_hidden_until_it_is_joined_or_mentions_the_user(irc: Cluster, ann: NativeUser) -> None:
    with V2User(irc.edges[0]) as registered:
        account = registered.register().account
    chat = int(ann.call("create", name="Fruit", members=[account.number])["chat"])
    mention = {"t": "mention", "account": account.number, "text": "@bob"}

    @contextmanager
    def enter(edge: int, *, shown: bool) -> Iterator[IrcUser]:
        with IrcUser(irc.tcp[edge], account, "message-tags echo-message draft/chathistory") as bob:
            bob.write("PING here")
            bob.await_line(" PONG ", "here")
            assert any(" JOIN " in line for line in bob.pending) is shown
            bob.pending.clear()
            yield bob

    def post(*segments: object) -> None:
        ann.do("send", chat=chat, segments=[*segments, {"t": "text", "text": "hello"}], nonce=secrets.token_hex(8))

    with enter(0, shown=True) as bob, enter(1, shown=True) as phone:
        bob.write(f"PART #Fruit~{chat}")
        bob.await_line(" NOTICE ", ":leave ends it")
        phone.await_line(" PART ")
        post()
        with enter(0, shown=False) as tablet:
            post(mention)
            for user in (bob, phone, tablet):
                user.await_line(" JOIN ", f"~{chat}")
                user.await_line(" PRIVMSG ", ":@bob hello")
                assert not [line for line in user.pending if " PRIVMSG " in line], "the history has the other one"
            tablet.write(f"PART #Fruit~{chat}")
            for user in (bob, phone, tablet):
                user.await_line(" PART ")
            bob.write(f"JOIN #Fruit~{chat}")
            for user in (bob, phone, tablet):
                user.await_line(" JOIN ", f"~{chat}")
        bob.write(f"PART #Fruit~{chat}")
        bob.await_line(" NOTICE ", ":leave ends it")
    post()
    with enter(1, shown=False):
        pass
    post(mention)
    post()
    with enter(1, shown=True) as bob:
        bob.write(f"PART #Fruit~{chat}")
        bob.await_line(" NOTICE ", ":leave ends it")
    with enter(0, shown=False):
        pass


def test_a_login_shows_300_channels_before_the_next_line_is_answered(irc: Cluster, ann: NativeUser) -> None:
    with V2User(irc.edges[0]) as registered:
        account = registered.register().account
    created = [ann.call("create", name=f"Fruit {number}", members=[account.number])["chat"] for number in range(300)]
    with IrcUser(irc.tcp[0], account) as bob:
        bob.write("PING shown")
        bob.await_line(" PONG ", "shown")
        joined = [
            line.rpartition("~")[2].strip() for line in bob.pending if f":{bob.nick}!" in line and " JOIN " in line
        ]
        ends = [line for line in bob.pending if " 366 " in line]
    assert joined == [str(chat) for chat in created]
    assert len(ends) == 300


def test_an_export_has_the_names_of_irc_and_no_key_of_a_group(irc: Cluster, come: Come, ann: NativeUser) -> None:
    bob, handle = come(0), f"plums{secrets.token_hex(4)}"
    numbered, number = open_group(ann, bob), int(bob.nick.rpartition("|")[2])
    bob.write(f"JOIN #{handle}", f"MODE #{handle} +k melon", f"PRIVMSG #{handle} :ripe", f"PRIVMSG #x~{numbered} :red")
    lines = [bob.await_line(f":{bob.nick}!", " PRIVMSG ", f":{text}") for text in ("ripe", "red")]
    ids = [line.partition("msgid=")[2].split()[0] for line in lines]
    text = admin(irc, "user", "export", str(number), "--yes")
    found = json.loads(text)
    named = {chat["channel"]: [one["msgid"] for one in chat["said"]] for chat in found["chats"] if chat["said"]}
    assert found["nick"] == bob.nick
    assert named == {f"#{handle}": ids[:1], f"#Fruit~{numbered}": ids[1:]}
    assert [chat["chat"]["handle"] for chat in found["chats"] if chat["channel"] == f"#{handle}"] == [handle]
    assert found["devices"] == ["n"]
    assert "melon" not in text


REJECTED = {
    "ourchat-v1": '"code":18',
    "ourchat-v2": '"code":18',
    "service": '"state_code":403',
    "pipe": "send_message_error|",
    "native": '"code":"forbidden"',
}


def test_modes_and_masks_of_irc_hold_in_every_protocol(irc: Cluster, come: Come, ann: NativeUser) -> None:
    bob = come(0)
    with ExitStack() as stack:
        others = [stack.enter_context(DialectUser(irc.edges[1], dialect)).register() for dialect in REJECTED]
        admin, members = int(bob.nick.rpartition("|")[2]), [one.number for one in others]
        chat = int(ann.call("create", name="Fruit", join_policy="open", members=[admin, *members])["chat"])
        bob.await_line(" 366 ", f"~{chat}")
        ann.do("role", chat=chat, account=admin, role="admin")
        bob.await_line(" MODE ", "+o")

        def change(*modes: str) -> None:
            bob.write(*(f"MODE #x~{chat} {mode}" for mode in modes), "PING changed")
            bob.await_line(" PONG ", "changed")

        change("+m")
        for user in others:
            user.request(posting(user, chat, "silenced"), REJECTED[user.dialect])
        change("-m", *(f"+b *!u{number}@*" for number in members), "+k melon")
        for user in others:
            user.request(posting(user, chat, "masked"), REJECTED[user.dialect])
        with NativeUser(irc.edges[0]) as stranger:
            stranger.register()
            assert stranger.call("join", chat=chat)["error"]["code"] == "forbidden"
        bob.write("CAP REQ :batch draft/event-playback", f"CHATHISTORY LATEST #x~{chat} * 50", "PING listed")
        bob.await_line(" PONG ", "listed")
        stored = [line for line in bob.pending if line.startswith("@batch=") and f":{bob.nick}!" in line]
        assert [line.partition(f" MODE #x~{chat} ")[2].strip() for line in stored] == [
            "+m", "-m", *(f"+b *!u{number}@*" for number in members), "+k *",
        ]  # fmt: skip
        change(*(f"-b *!u{number}@*" for number in members))
        for user in others:
            user.send(posting(user, chat, f"free in {user.dialect}"))
            bob.await_line(f"free in {user.dialect}")
