"""IRC clients send more lines than the limits permit, beside clients that do not."""

import base64
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from dragoman_client.codec.base import ClientAccount
from local.ports import free_port
from tests.support.cluster import Cluster
from tests.system.users import IrcUser, NativeUser, TcpUser, V2User

pytestmark = pytest.mark.xdist_group("irc floods")

PASTED, BURST, PER_SECOND, WAITING = 400, 50, 100, 420
RATES = {
    "limits.requests_per_second": PER_SECOND, "limits.requests_burst": BURST, "limits.requests_waiting": WAITING,
    "limits.requests_burst_before_login": BURST, "limits.registrations_per_minute": 1000,
    "limits.new_connections_burst": 100_000, "limits.failed_logins_per_address": 1000,
    "edge.request_seconds": 30, "message.queue_seconds": 20, "redis.timeout_seconds": 10,
}  # fmt: skip
CAPABILITIES = "message-tags echo-message batch labeled-response"
FLOODS = {
    "messages": "PRIVMSG {channel} :spam",
    "notices": "@label=1 NOTICE {channel} :spam",
    "ctcp": "PRIVMSG {channel} :\x01PING 1\x01",
    "typing": "@+typing=active TAGMSG {channel}",
    "pings": "PING 1",
    "members": "WHO {channel}",
    "nicks": "NICK other",
    "histories": "CHATHISTORY LATEST {channel} * 5",
    "playing": "PRIVMSG *playback :PLAY {channel} 0",
    "unknown commands": "SUMMON bob",
    "wrong lines": "PRIVMSG",
    "logins": "AUTHENTICATE PLAIN",
}

Come = Callable[[], IrcUser]


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    rates = [word for name, value in RATES.items() for word in ("--set", f"{name}={value}")]
    with Cluster(
        tmp_path_factory.mktemp("floods") / "data", *rates, "--tcp-port", str(free_port()), edges=1
    ) as cluster:
        yield cluster


@pytest.fixture
def channel(limited: Cluster) -> str:
    """Returns the name of an open group."""
    with NativeUser(limited.edges[0]) as ann:
        ann.register()
        return f"#Fruit~{ann.call('create', name='Fruit', join_policy='open')['chat']}"


@pytest.fixture
def come(limited: Cluster, channel: str) -> Iterator[Come]:
    """Returns an IRC client with a new account, in the channel."""
    with ExitStack() as stack:

        def enter() -> IrcUser:
            user = stack.enter_context(IrcUser(limited.tcp[0], new_account(limited), CAPABILITIES))
            user.write(f"JOIN {channel}")
            user.await_line(" 366 ")
            return user

        yield enter


def new_account(limited: Cluster) -> ClientAccount:
    with V2User(limited.edges[0]) as registered:
        return registered.register().account


def texts(user: IrcUser, sender: IrcUser) -> list[str]:
    """Returns the texts of the sender that the user has got, and removes them."""
    found = [
        line for line in user.pending if f":{sender.nick}!" in line and (" PRIVMSG #" in line or " NOTICE #" in line)
    ]
    user.pending = [line for line in user.pending if line not in found]
    return [line.rpartition(" :")[2].strip() for line in found]


def errors(user: IrcUser) -> list[str]:
    return [line for line in user.pending if " FAIL " in line or line.startswith("ERROR")]


def test_pasted_lines_wait_and_arrive_in_order_while_pings_and_others_are_served(come: Come, channel: str) -> None:
    bob, cem = come(), come()
    bob.await_line(f":{cem.nick}!", " JOIN ")
    pasted = [f"line {number}" for number in range(PASTED)]
    bob.write(*(f"PRIVMSG {channel} :{text}" for text in pasted), "@label=1 PING during")
    bob.await_line(" PONG ", "during")
    early = texts(bob, bob)
    assert len(early) < PASTED, "the PING has waited for the rate"
    cem.await_line(f"PRIVMSG {channel} :{pasted[0]}")
    cem.write(f"PRIVMSG {channel} :and I?", "PING now")
    cem.await_line(" PONG ", "now")
    assert not any(f":{pasted[-1]}" in line for line in cem.pending), "the flood is over: nothing has waited"
    bob.await_line(f"PRIVMSG {channel} :{pasted[-1]}")
    assert [*early, *texts(bob, bob)] == pasted[:-1]
    assert texts(bob, cem) == ["and I?"]
    bob.write(f"PRIVMSG {channel} :the end")
    cem.await_line(f"PRIVMSG {channel} :the end")
    assert texts(cem, bob) == pasted[1:]
    assert errors(bob) == errors(cem) == []


def test_clients_that_go_on_are_closed_with_the_reason_and_others_are_served(come: Come, channel: str) -> None:
    flooders = {kind: come() for kind in FLOODS}
    cem, dan = come(), come()
    cem.await_line(f":{dan.nick}!", " JOIN ")
    for kind, flooder in flooders.items():
        line = FLOODS[kind].format(channel=channel)
        flooder.send(f"{line}\r\n" * 5 * WAITING)
    cem.write(f"PRIVMSG {channel} :during the floods")
    dan.await_line(f":{cem.nick}!", ":during the floods")
    for kind, flooder in flooders.items():
        flooder.await_line("ERROR :Closing the connection: too many requests")
        assert flooder.receive_line() == "", kind
        assert any(" RATE_LIMITED " in line for line in flooder.pending), kind
    cem.write(f"PRIVMSG {channel} :after the floods", "PING still")
    cem.await_line(" PONG ", "still")
    dan.await_line(f":{cem.nick}!", ":after the floods")
    for kind in ("messages", "notices"):  # the others are not stored
        echoed = texts(flooders[kind], flooders[kind])
        for other in (cem, dan):
            assert texts(other, flooders[kind])[: len(echoed)] == echoed, kind
    assert errors(cem) == errors(dan) == []


@pytest.mark.parametrize("line", ["NICK ann", "CAP LS 302", "PING 1", "JOIN #x", "AUTHENTICATE PLAIN", "?" * 400])
def test_before_a_login_a_flood_is_closed(limited: Cluster, come: Come, channel: str, line: str) -> None:
    cem = come()
    with TcpUser(limited.tcp[0]) as stranger:
        stranger.send("CAP LS 302\r\n", f"{line}\r\n" * 1000)
        received = list(iter(stranger.receive_line, ""))
    assert received[-1].startswith("ERROR :Closing the connection: too many requests")
    assert len(received) < 1000
    cem.write(f"PRIVMSG {channel} :what was that?", "PING still")
    cem.await_line(" PONG ", "still")


def test_wrong_passwords_are_limited_for_each_account_and_others_log_in(limited: Cluster) -> None:
    """Clients that fail to log in connect again and again."""
    bob, cem = new_account(limited), new_account(limited)
    wrong = base64.b64encode(f"\0{bob.number}\0wrong".encode()).decode()
    answers = []
    for _ in range(12):
        with TcpUser(limited.tcp[0]) as guesser:
            guesser.send(
                "CAP REQ sasl\r\nNICK n\r\nUSER n 0 * :n\r\n", f"AUTHENTICATE PLAIN\r\nAUTHENTICATE {wrong}\r\n"
            )
            while " 904 " not in (line := guesser.receive_line()):
                assert line, "closed before an answer"
        answers.append(line)
    assert len(set(answers)) == 2, "wrong password, then too many attempts"
    with IrcUser(limited.tcp[0], cem) as other:
        other.write("PING here")
        other.await_line(" PONG ", "here")
