"""An installation whose IRC has a port of its own, guests that create no channels, and reading by delivery."""

from collections.abc import Iterator

import pytest

from local.ports import free_port
from tests.support.cluster import RELAXED, Cluster
from tests.system.users import IrcUser, NativeUser, TcpUser

pytestmark = pytest.mark.xdist_group("irc settings")


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Cluster]:
    settings = {"irc.port": port, "irc.guests": "true", "irc.create": "accounts", "irc.delivery_reads": "true"}
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    with Cluster(tmp_path_factory.mktemp("settings") / "data", *RELAXED, *words, edges=1) as cluster:
        yield cluster


@pytest.fixture
def ann(installation: Cluster) -> Iterator[NativeUser]:
    with NativeUser(installation.edges[0]) as ann:
        ann.register()
        yield ann


def test_a_guest_joins_channels_and_creates_none(installation: Cluster, ann: NativeUser, port: int) -> None:
    with IrcUser(f"tcp://127.0.0.1:{port}", ann.account) as member, TcpUser(f"tcp://127.0.0.1:{port}") as guest:
        guest.send("NICK visitor\r\nUSER v 0 * :v\r\nJOIN #plums\r\n")
        while " 403 " not in (line := guest.receive_line()):
            assert " JOIN " not in line
        assert "guests create none" in line
        member.write("JOIN #plums")
        member.await_line(" 366 ")
        guest.send("JOIN #plums\r\n")
        member.await_line(":visitor!", " JOIN ")


def test_other_protocols_are_not_spoken_on_the_port_of_irc(installation: Cluster, port: int) -> None:
    with TcpUser(f"tcp://127.0.0.1:{port}") as stranger:
        stranger.send('{"code": 6, "data": {"ocId": "1", "password": "x"}}\r\n')
        assert " 451 " in stranger.receive_line()


def test_what_an_irc_client_has_received_is_read(installation: Cluster, ann: NativeUser, port: int) -> None:
    with NativeUser(installation.edges[0]) as bob:
        bob.register()
        chat = bob.call("create", name="Fruit", members=[ann.account.number])["chat"]
        with IrcUser(f"tcp://127.0.0.1:{port}", ann.account) as client:
            bob.call("send", chat=chat, text="apples", nonce="1")
            client.await_line(" PRIVMSG ", ":apples")
            read = ann.event("read")
    assert (read["chat"], read["index"]) == (chat, 1)
