"""Tests conformance over TLS. Needs the option --edge.

As a pytest plugin, this module marks the tests that require an http address as expected failures. As a test file, it
has their counterparts for https.
"""

import base64
import re
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import RemoteDisconnected
from secrets import token_hex
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

import pytest

from tests.clients.client import Account
from tests.clients.pipe import Pipe

_NO_ADDRESS = "`file|…|host|port|path|…` means http://host:port/path: over https, the file comes as a message"
_PLAIN = "the address begins with https, and the test looks for http"
EXPECTED = {
    "test_pipe.py::test_a_file_arrives_and_downloads": _NO_ADDRESS,
    "test_pipe.py::test_a_chunked_file_arrives_once_and_whole": _NO_ADDRESS,
    "test_pipe.py::test_a_file_that_waited_arrives_as_a_message": _PLAIN,
}
"""The tests that must fail over TLS, and the reason. A test of these that passes is an error."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        name = f"{item.path.name}::{getattr(item, 'originalname', item.name)}"
        if reason := EXPECTED.get(name):
            item.add_marker(pytest.mark.xfail(reason=reason, raises=AssertionError, strict=True))


@pytest.fixture
def edge(pytestconfig: pytest.Config) -> str:
    return str(pytestconfig.getoption("--edge"))


@pytest.fixture
def couple(edge: str) -> Iterator[tuple[Pipe, Pipe]]:
    """Returns two clients of the dialect pipe."""
    ann, bob = Pipe(edge), Pipe(edge)
    with closing(ann.line), closing(bob.line):
        for client in (ann, bob):
            client.register(Account(f"tls-{token_hex(6)}"), "Ann")
        yield ann, bob


@pytest.mark.parametrize(("kind", "words"), [(0, r"\[图片\] cat\.png"), (1, r"\[文件\] cat\.png \([^)]+\)")])
def test_file_arrives_as_a_message_with_an_https_url(couple: tuple[Pipe, Pipe], kind: int, words: str) -> None:
    ann, bob = couple
    content = b"whatever" * 500
    data = base64.b64encode(content).decode()
    account = ann.account
    ann.line.send(f"send_file|{kind}|{account.id}|{bob.account.id}|{int(time.time())}|cat.png|{data}|{account.token}")
    assert ann.reply() == "send_file_succ|发送成功！"
    text = str(bob.see().values["data"])
    found = re.fullmatch(rf"{words} (https://\S+)", text)
    assert found, text
    with build_opener(ProxyHandler({})).open(found[1], timeout=10) as answer:
        assert answer.read() == content


def test_plain_http_is_rejected(edge: str) -> None:
    with pytest.raises((URLError, RemoteDisconnected)):
        build_opener(ProxyHandler({})).open(f"http://{urlsplit(edge).netloc}/", timeout=10)
