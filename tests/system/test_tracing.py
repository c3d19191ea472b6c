"""Checks the spans that a whole system sends to a collector: the path of a message and of a login through all
processes.
"""

import http.client
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from local.fork_server import ForkServer
from local.process_group import ProcessGroup
from tests.support.collector import Collector, Seen
from tests.support.servers import NatsServer, ValkeyServer
from tests.support.stack import ServiceProcess, Stack
from tests.system.conftest import Dial
from tests.system.users import V2User

_WORDS = "meet me at the old oak"
_END_SECONDS = 30.0

LOGIN = {
    ("edge", "Login", "server", ""),
    ("edge", "auth.login", "client", "Login"),
    ("auth", "auth.login", "server", "auth.login"),
    ("auth", "database read", "client", "auth.login"),
    ("session", "session.list_chats", "server", "session.list_chats"),
    ("session", "database read", "client", "session.list_chats"),
    ("message", "message.sync", "server", "message.sync"),
    ("message", "session.list_chats", "client", "message.sync"),
    ("message", "database read", "client", "message.sync"),
}
"""Some spans of a login: service, name, kind and parent."""
VERIFICATION = {
    ("edge", "POST /verify", "server", ""),
    ("edge", "auth.open_verification", "client", "POST /verify"),
    ("auth", "auth.open_verification", "server", "auth.open_verification"),
}


@pytest.fixture
def services(
    tmp_path: Path,
    nats_server: NatsServer,
    valkey_server: ValkeyServer,
    process_group: ProcessGroup,
    fork_server: ForkServer,
    collector: Collector,
) -> Iterator[list[ServiceProcess]]:
    """The services with tracing, one process of each. The last process is a second edge."""
    url = f"sqlite:///{tmp_path}/{{service}}.db"
    stack = Stack(tmp_path, nats_server, valkey_server, url, process_group, collector.endpoint, fork_server)
    with stack.running("auth", "session", "message", "edge", "edge") as services:
        yield services


@pytest.fixture
def couple(services: list[ServiceProcess], dial: Dial) -> tuple[V2User, V2User, int]:
    one, two = (dial(f"ws://127.0.0.1:{edge.port}").register() for edge in services[3:])
    return one, two, one.session(two)


def trace_of(spans: Sequence[Seen], root: str) -> list[Seen]:
    """Returns the spans of the trace with this root. Returns none while the root has not arrived."""
    traces = {span.trace for span in spans if span.name == root and not span.parent}
    assert len(traces) < 2
    return [span for span in spans if span.trace in traces]


def has(root: str, number: int) -> Callable[[Sequence[Seen]], bool]:
    return lambda spans: len(trace_of(spans, root)) >= number


def way(trace: Sequence[Seen]) -> Counter[tuple[str, str, str, str]]:
    """Counts the spans of a trace by service, name, kind and the parent's name.

    Omits spans whose parent has not arrived yet.
    """
    by_id = {span.id: span for span in trace}
    return Counter(
        (span.service.removeprefix("dragoman-"), span.name, span.kind, by_id[span.parent].name if span.parent else "")
        for span in trace
        if span.parent in {"", *by_id}
    )


def test_messages_logins_and_requests_by_http_are_one_trace_each_through_all_processes(
    collector: Collector, services: list[ServiceProcess], couple: tuple[V2User, V2User, int], dial: Dial
) -> None:
    ann, bob, session = couple
    ann.post(session, _WORDS)
    bob.receive_text(_WORDS)
    check_message(collector.spans(has("post", 8)), *(f"edge-{edge.port}" for edge in services[3:]))
    device = dial(f"ws://127.0.0.1:{services[-1].port}")
    device.login(ann.account)
    device.request({"code": 6, "login_type": 1, "account": f"{bob.account.number:010d}", "password": "wrong"}, 7)
    spans = collector.spans(lambda spans: LOGIN <= way(login(spans)).keys() and failures(spans) != [])
    assert failures(spans) == ["unauthenticated"]
    for one in (ann, bob):
        for secret in (_WORDS, one.account.name.removeprefix("名"), one.account.secret, f"{one.account.number:010d}"):
            assert secret.encode() not in collector.raw
    check_requests_by_http(collector, services)


def check_requests_by_http(collector: Collector, services: list[ServiceProcess]) -> None:
    """Checks that HTTP requests begin traces, and that these contain no secret."""
    ticket, code, address = "opened", "with-this", "0123456789abcdef" * 2
    page = http.client.HTTPConnection("127.0.0.1", services[-1].port, timeout=10)
    answers = []
    for method, path in (("POST", f"/verify/{ticket}.{code}"), ("GET", f"/media/{address}")):
        page.request(method, path)
        with page.getresponse() as answer:
            answers.append((answer.status, bool(answer.read())))
    page.close()
    assert answers == [(410, True), (404, True)]
    spans = collector.spans(lambda spans: VERIFICATION <= way(spans).keys() and has("GET /media", 1)(spans))
    roots = {span.name: (span.instance, span.failed) for span in spans if not span.parent}
    here = f"edge-{services[-1].port}"
    assert {name: roots[name] for name in ("POST /verify", "GET /media")} == {
        "POST /verify": (here, "410"),
        "GET /media": (here, "404"),
    }
    for secret in (ticket, code, address):
        assert secret.encode() not in collector.raw


def check_message(spans: Sequence[Seen], here: str, there: str) -> None:
    trace = trace_of(spans, "post")
    assert way(trace) == {
        ("edge", "post", "server", ""): 1,
        ("edge", "message.post", "client", "post"): 1,
        ("message", "message.post", "server", "message.post"): 1,
        ("message", "commit", "internal", "message.post"): 1,
        ("message", "database write", "client", "commit"): 1,
        ("message", "fan out", "internal", "commit"): 1,
        ("edge", "deliver", "consumer", "fan out"): 2,
    }
    (commit,) = [span for span in trace if span.name == "commit"]
    (request,) = [span for span in trace if span.id == commit.parent]
    assert (request.kind, commit.links) == ("server", (request.id,))
    assert commit.attributes == {"requests": 1, "messages": 1}
    assert sorted(span.instance for span in trace if span.name == "deliver") == sorted((here, there))
    assert {span.instance for span in trace if span.name == "post"} == {here}


def login(spans: Sequence[Seen]) -> list[Seen]:
    """Returns the trace of the login that succeeded."""
    traces = {span.trace for span in spans if span.name == "Login" and not span.failed}
    return [span for span in spans if span.trace in traces]


def failures(spans: Sequence[Seen]) -> list[str]:
    return [span.failed for span in spans if span.name == "Login" and span.failed]


def test_a_collector_that_hangs_does_not_delay_work_or_shutdown(
    collector: Collector, services: list[ServiceProcess], couple: tuple[V2User, V2User, int]
) -> None:
    ann, bob, session = couple
    collector.answers.clear()
    for number in range(50):
        ann.post(session, f"{_WORDS} {number}")
        bob.receive_text(f"{_WORDS} {number}")
    started = time.monotonic()
    for service in reversed(services):
        service.process.send_signal(signal.SIGTERM)
    assert [service.process.wait(_END_SECONDS) for service in services] == [0] * 5
    assert time.monotonic() - started < _END_SECONDS
