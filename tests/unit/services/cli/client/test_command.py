"""Tests `dragoman client` with a server that has only a login."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from dragoman_client.codec import CODECS
from local.exit_status import ExitStatus
from services.cli.client.command import DIALECTS, _members, _number, client
from services.cli.client.conversation import CommandError
from tests.unit.dragoman_client.scripted_server import HANG_UP, scripted

HELLO = '{"code":0,"time":8,"data":{"cid":4,"sender":{"ocid":34,"private_id":12},"msg":"hi \\u001b[2J"}}'


def script(frame: str) -> list[str | bytes]:
    """A script with a part of OurChat v1.

    After a login, a message arrives. Any message from the client ends the connection.
    """
    if json.loads(frame)["code"] == 6:
        return ['{"code":7,"time":8,"data":{"state":0,"ocid":12,"token":"t"}}', "no frame of the dialect", HELLO]
    return [HANG_UP]


def test_every_dialect_of_the_client_library_can_be_chosen() -> None:
    assert tuple(CODECS) == DIALECTS


def test_numbers_and_objects_that_no_server_accepts_are_errors_of_their_line() -> None:
    with pytest.raises(CommandError):
        _number("9" * 5_000)
    for surrogate_or_large in (r'{"text": "\ud800"}', f'{{"chat": 1{"0" * 5_000}}}'):
        with pytest.raises(CommandError):
            _members([surrogate_or_large])


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "tcp://127.0.0.1", "ws://[", "127.0.0.1:8080"])
def test_a_wrong_address_is_wrong_use(url: str) -> None:
    done = CliRunner().invoke(client, [url])
    assert done.exit_code == ExitStatus.WRONG_USE, done.output
    assert f"{url} is no address of " in done.output
    assert done.output.endswith(". Correct URL\n")


@pytest.mark.parametrize("scheme", ["ws", "tcp"])
def test_the_end_of_the_connection_ends_the_client(scheme: str) -> None:
    with scripted(script) as addresses:
        command = [sys.executable, "-m", "dragoman.main", "client", getattr(addresses, scheme)]
        with subprocess.Popen(
            [*command, "--dialect", "ourchat-v1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, bufsize=1,
        ) as process:  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdin.write("/login 12 orange\n")
            shown = [process.stdout.readline() for _ in range(3)]
            assert shown[1:] == ["you are user 12\n", "[user 34] hi \\x1b[2J\n"]
            process.stdin.write("/chat 5\nhello\n")
            assert process.wait(30) == 1
            assert process.stderr.read().startswith("Error: the server ended the connection")
