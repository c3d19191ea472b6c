"""Tests `dragoman client`: two users in each dialect, scripts, and a user at a terminal."""

import contextlib
import json
import os
import pty
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from dragoman_client.codec import CODECS
from local.ports import free_port
from tests.support.cluster import Cluster
from tests.support.commands import ROOT
from tests.system.conftest import Dial
from tests.system.typed_client import CLIENT, ScreenReader, TypedClient

pytestmark = pytest.mark.xdist_group("system")

BY_MAIL = ("ourchat-v1", "ourchat-v2")
LOBBY = "chat 1"


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def a_name(dialect: str) -> str:
    return f"n{secrets.token_hex(6)}" + ("@dragoman.test" if dialect in BY_MAIL else "")


def register(client: TypedClient, dialect: str) -> str:
    """Registers a user. Returns the text by which other users can name the new user."""
    client.type(f"/register {a_name(dialect)} orange")
    return client.expect("you are user ").removeprefix("you are user ")


def choose_chat(one: TypedClient, other: TypedClient, names: tuple[str, str]) -> tuple[str, str]:
    """Opens a private chat. Returns the name that each of the two users has for it."""
    one.type(f"/open {names[1]}")
    place = one.expect("messages go to ").removeprefix("messages go to ").removesuffix(" now")
    is_numbered = place.startswith("chat")
    other.type(f"/{place}" if is_numbered else f"/open {names[0]}")
    other.expect("messages go to ")
    return place, place if is_numbered else f"user {names[0]}"


@pytest.mark.parametrize("dialect", CODECS)
def test_two_users_chat(system: Cluster, clients: ExitStack, dialect: str) -> None:
    one, other = (clients.enter_context(TypedClient(edge, "--dialect", dialect)) for edge in system.edges)
    names = register(one, dialect), register(other, dialect)
    places = (LOBBY, LOBBY) if dialect == "ourchat-v0" else choose_chat(one, other, names)
    texts = f"Hello {secrets.token_hex(4)}", f"//Hi {secrets.token_hex(4)} 你好"
    one.type(texts[0])
    one.expect("sent")
    other.expect(texts[0])
    other.type(texts[1])
    other.expect("sent")
    one.expect(texts[1].removeprefix("/"))
    for client, place, sender in ((one, places[0], 0), (other, places[1], 1)):
        client.type("/chats")
        if dialect == "irc":
            client.expect("irc cannot list the chats of an account")
            continue
        assert client.expect(place).startswith(place)
        client.type("/history 2")
        shown = [client.expect(text.removeprefix("/")) for text in texts]
        assert [line.startswith(f"[{place}] you: ") for line in shown] == [sender == 0, sender == 1]
    one.end_input()
    other.type("/quit")
    assert (one.status(), other.status()) == (0, 0)


def test_a_message_is_edited_reacted_to_and_recalled(system: Cluster, clients: ExitStack) -> None:
    one, other = (clients.enter_context(TypedClient(edge, "--dialect", "native")) for edge in system.edges)
    names = register(one, "native"), register(other, "native")
    choose_chat(one, other, names)
    one.type("/recall")
    one.expect("you have sent no message to this chat")
    one.type("apple")
    other.expect("apple")
    one.type("/edit quince jam")
    one.expect("edited")
    other.expect("message 1 is now: quince jam")
    other.type("/react 👍")
    other.expect("done")
    one.expect(f"user {names[1]} reacts to message 1: 👍")
    other.type("/unreact 👍")
    other.expect("done")
    one.expect(f"user {names[1]} takes 👍 back from message 1")
    other.type("/read")
    other.expect("read")
    one.expect(f"is read by user {names[1]} up to message 1")
    other.type("/reply thank you")
    one.expect("thank you")
    other.type("/search nothing like it")
    other.expect("nothing is found")
    one.type("/recall")
    one.expect("recalled")
    other.expect("message 1 is recalled")
    other.type("/history 2")
    other.expect("[撤回]")


def test_any_operation_is_called_by_its_name(system: Cluster) -> None:
    lines = (f"/register {a_name('native')} orange", "/call unread", '/call chat {"chat": 999999999}', "/call chat x\n")
    shown = run(system.edges[0], "--dialect", "native", lines="\n".join(lines)).stdout.splitlines()
    assert json.loads(shown[-3]) == {"total": 0, "mentions": 0, "chats": []}
    assert shown[-2].startswith("request by name rejected: ")
    assert shown[-1] == "a JSON object is expected, not x"


def test_a_request_that_a_protocol_lacks_is_one_sentence(system: Cluster) -> None:
    lines = f"/register {a_name('ourchat-v0')} orange\nhello\n/edit bye\n/recall\n/search hello\n/call ping\n"
    done = run(system.edges[0], "--dialect", "ourchat-v0", lines=lines)
    assert [line for line in done.stdout.splitlines() if " cannot " in line] == [
        "ourchat-v0 cannot edit a message",
        "ourchat-v0 cannot recall a message",
        "ourchat-v0 cannot search",
        "ourchat-v0 cannot call an operation by its name",
    ]


def test_plain_tcp_and_a_login(system: Cluster, clients: ExitStack) -> None:
    name = a_name("pipe")
    for command in "register", "login":
        client = clients.enter_context(TypedClient(system.tcp[0], "--dialect", "pipe"))
        client.type(f"/{command} {name} orange")
        client.expect("you are user ")
        client.end_input()
        assert client.status() == 0


def run(server: str, *options: str, lines: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLIENT, server, *options], cwd=ROOT, input=lines, text=True, capture_output=True, check=False
    )


def test_frames_are_shown_as_they_are(system: Cluster) -> None:
    name = a_name("pipe")
    done = run(system.edges[0], "--dialect", "pipe", "--frames", lines=f"/register {name} orange\n")
    assert done.returncode == 0, done
    shown = done.stdout.splitlines()
    assert shown[1].startswith(f"→ register|{name}|orange|")
    assert shown[2].startswith("← register_succ|")


def test_a_failed_line_is_one_sentence_and_the_status_of_a_script(system: Cluster) -> None:
    done = run(system.edges[0], lines="/nope\n/open\nhello\n/login nobody@dragoman.test wrong\n")
    assert done.returncode == 1
    assert done.stdout.splitlines()[1:] == [
        "there is no command /nope; /help lists them all",
        "usage: /open USER",
        "log in first: /register NAME, or /login NAME",
        "login rejected: unknown account or wrong password",
    ]


def test_no_server_is_one_sentence() -> None:
    server = f"ws://127.0.0.1:{free_port()}"
    done = run(server, lines="hello\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {server} cannot be reached: ")
    assert done.stderr.count("\n") == 1


def end_input(keyboard: int, client: "subprocess.Popen[bytes]") -> int:
    """Presses Ctrl-D until the client ends.

    One press may be lost if it comes between two lines, while the terminal changes its mode.
    """
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        os.write(keyboard, b"\x04")
        with contextlib.suppress(subprocess.TimeoutExpired):
            return client.wait(0.5)
    raise TimeoutError("the client does not end")


def test_a_message_leaves_the_line_that_is_being_typed(system: Cluster, dial: Dial) -> None:
    peer = dial(system.edges[1]).register()
    keyboard, terminal = pty.openpty()
    client = subprocess.Popen(
        [*CLIENT, system.edges[0]], cwd=ROOT, stdin=terminal, stdout=terminal, stderr=terminal,
        env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(terminal)
    screen = ScreenReader(keyboard)
    try:
        screen.expect("connected to ")
        os.write(keyboard, f"/register {a_name('ourchat-v2')} orange\n".encode())
        screen.expect("you are user ")
        os.write(keyboard, f"/open {peer.account.number}\n".encode())
        session = int(peer.receive_code(9)["session_id"])
        screen.expect(f"messages go to chat {session} now")
        os.write(keyboard, b"half a ")
        screen.expect("half a ")
        peer.post(session, "meanwhile")
        screen.expect(f"[chat {session}] user {peer.account.number}: meanwhile\r\nhalf a ")
        os.write(keyboard, b"line\n")
        screen.expect("sent")
        peer.receive_text("half a line")
        assert end_input(keyboard, client) == 0
    finally:
        client.kill()
        client.wait()
        os.close(keyboard)
