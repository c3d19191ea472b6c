"""Real IRC clients in one chat with users of other protocols."""

import secrets
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from local.ports import free_ports
from tests.support.cluster import RELAXED, Cluster
from tests.support.tls_servers import Certificates
from tests.support.waiting import block_until
from tests.system.conftest import Dial
from tests.system.irc_clients import CLIENTS, IrcClient, Limnoria, TlsDoor
from tests.system.users import DialectUser, NativeUser, V2User, posting

pytestmark = pytest.mark.xdist_group("system")
OTHERS = ("ourchat-v0", "ourchat-v1", "service", "pipe", "native")


def group_of(owner: V2User, *others: DialectUser) -> int:
    made = owner.request({"code": 8, "members": [f"{other.number:010d}" for other in others]}, 9)
    session = int(made["session_id"])
    owner.list_session(session)
    return session


def unread(edge: str, user: DialectUser) -> int:
    """Returns the number of messages that have reached no client of the account."""
    with DialectUser(edge, "pipe") as other:
        return int(other.request(f"login|{user.tag}|{user.md5}", "login_succ").split("|")[-1])


@pytest.mark.parametrize("kind", CLIENTS, ids=lambda kind: kind.program)
def test_a_client_talks_and_has_what_it_missed_once_and_in_order(
    kind: type[IrcClient], system: Cluster, dial: Dial, tmp_path: Path
) -> None:
    if not kind.is_installed():
        pytest.skip(f"{kind.program} is not installed")
    tag, ann = secrets.token_hex(4), dial(system.edges[1]).register()
    # this login ends before messages are missed, because a second connection would receive them
    with DialectUser(system.edges[0], "pipe") as own:
        own.register()
    with ExitStack() as stack:
        others = [
            stack.enter_context(DialectUser(system.edges[number % 2], dialect)).register()
            for number, dialect in enumerate(OTHERS)
        ]
        chat = group_of(ann, own, *others)
        channel = f"#x~{chat}"

        def post(number: int, text: str) -> None:
            """Posts a text. The users of the protocols take turns, and Ann sees that it is stored."""
            if number % (len(others) + 1):
                user = others[number % (len(others) + 1) - 1]
                user.send(posting(user, chat, text))
                ann.receive_text(text)
            else:
                ann.post(chat, text)

        with kind(tmp_path, system.tcp[0], f"{own.tag}:{own.tag}") as client:
            client.await_text(f"~{chat}")
            texts = [f"{tag} {word}" for word in ("one", "two", "three", "four", "five", "six")]
            for number, text in enumerate(texts):
                post(number, text)
                client.await_text(text)
            answer = f"{tag} own"
            if client.mark:
                ann.post(chat, f"{client.mark}echo {answer}")
            else:
                client.send(channel, answer)
            ann.receive_text(answer)
            for other in others:
                if other.dialect != "service":  # which has no pushes
                    other.receive(answer)
            # before the client is killed, the edge must have noticed that everything has arrived
            block_until(lambda: unread(system.edges[1], own) == 0)
            client.kill()

            texts += [f"{tag} missed {number}" for number in range(12)]
            for number, text in enumerate(texts[6:]):
                post(number, text)
            client.start()
            client.await_text(texts[-1])
            texts.append(f"{tag} last")
            post(0, texts[-1])
            client.await_text(texts[-1])
            shown = [f"{tag} {line.partition(tag)[2].strip()}" for line in client.lines() if tag in line]
    assert [text for text in shown if text != answer] == texts


@pytest.mark.skipif(not Limnoria.is_installed(), reason="Limnoria is not installed")
def test_a_bot_obeys_no_command_that_it_missed(system: Cluster, dial: Dial, tmp_path: Path) -> None:
    ann = dial(system.edges[1]).register()
    with DialectUser(system.edges[0], "pipe") as own:
        own.register()
    chat = group_of(ann, own)
    with Limnoria(tmp_path, system.tcp[0], f"{own.tag}:{own.tag}") as client:
        client.await_text(f"~{chat}")
        ann.post(chat, "!echo first")
        ann.receive_text("first")
        block_until(lambda: unread(system.edges[1], own) == 0)
        client.kill()
        ann.post(chat, "!echo missed")
        client.start()
        client.await_text("!echo missed")
        ann.post(chat, "!echo last")
        ann.receive_text("last")
    assert not [frame for frame in ann.pending if frame["code"] == 0 and frame["msg"][0]["text"] == "missed"]


@pytest.mark.skipif(not Limnoria.is_installed(), reason="Limnoria is not installed")
def test_a_client_without_tls_obeys_the_policy_and_comes_with_tls(certificates: Certificates, tmp_path: Path) -> None:
    port = free_ports(1)
    with closing(TlsDoor(certificates.server_context(), port)) as door:
        policy = ("--set", f"irc.sts_port={door.port}", "--set", "irc.sts_seconds=60")
        with (
            Cluster(tmp_path / "data", *RELAXED, "--tcp-port", str(port), *policy, edges=1) as system,
            NativeUser(system.edges[0]) as ann,
            DialectUser(system.edges[0], "pipe") as own,
        ):
            ann.register()
            own.register()
            chat = ann.call("create", name="Fruit", members=[own.number])["chat"]
            client = Limnoria(tmp_path, system.tcp[0], f"{own.tag}:{own.tag}")
            client.values["authority"] = certificates["ca.crt"]
            with client:
                client.await_text("Got STS policy over insecure connection")
                client.await_text(f"~{chat}")
                assert door.passed == 1
                ann.do("send", chat=chat, text="!echo by TLS", nonce="1")
                ann.receive('"text":"by TLS"')
