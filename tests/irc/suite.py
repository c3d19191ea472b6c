"""Runs irctest against this version: `python -m tests.irc.suite CHECKOUT [pytest arguments]`. CHECKOUT is a checkout of
irctest.

The program prints the tests that do not pass, and why. `--page FILE` writes this as a page, with a table of the files.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import NamedTuple
from urllib.parse import urlsplit
from xml.etree import ElementTree

from local.ports import free_ports
from tests.irc.accounts import register
from tests.support.cluster import RELAXED, Cluster
from tests.support.commands import ROOT

_MARKS = "not implementation-specific and not deprecated and not strict"
_TESTS = "irctest/server_tests"
_OPERATOR = "operuser"
_SETTINGS = (
    *RELAXED, "--set", "irc.guests=true", "--set", f'irc.operators=["{_OPERATOR}"]',
    "--set", "irc.name=My.Little.Server", "--set", "irc.description=test server", "--set", "irc.past_guests=2",
    "--set", "auth.lobby=false",
)  # fmt: skip


class _Installation(NamedTuple):
    """A separate installation for these tests, with additional settings."""

    tests: Sequence[str]
    settings: Sequence[str] = ()
    seconds: int = 60


_OTHERS = (
    _Installation([f"{_TESTS}/list.py::FaketimeListTestCase"], seconds=300),
    _Installation(
        [
            f"{_TESTS}/connection_registration.py::PasswordedConnectionRegistrationTestCase",
            f"{_TESTS}/account_registration.py::RegisterBeforeConnectDisallowedTestCase",
        ],
        ["irc.guest_password=testpassword"],
    ),
    _Installation(
        [
            f"{_TESTS}/account_registration.py::RegisterEmailVerifiedBeforeConnectTestCase",
            f"{_TESTS}/account_registration.py::RegisterEmailVerifiedAfterConnectTestCase",
        ],
        ["verification.registration=true"],
    ),
)
"""Separate installations.

They run beside the installations of all other tests. The first of them starts first, because it waits for minutes.
"""
_PARTS = 2
"""The number of installations that share all other tests. These tests wait more than they compute."""
_OWN_NICK = "an account has one nick: whoever logs in gets it, whatever NICK asked"
_REASONS: Mapping[str, str] = {
    "chathistory.ChathistoryTestCase.testChathistoryTagmsg": "a TAGMSG is relayed and not stored",
    "extended_join": _OWN_NICK,
    "links": "the server has no services beside it",
    "monitor": _OWN_NICK,
    "read_marker": "a group of guests ends with its last member, and its marker with it",
    "sasl.SaslTestCase.testPlainEmbeddedNUL": "irctest expects a failure: the RFC permits both",
    "sasl.SaslTestCase.testPlainPostRegistration": _OWN_NICK,
    "sasl.SaslTestCase.testScram": "no SCRAM: it needs a second verifier beside argon2id",
    "statusmsg": "no message goes to the admins alone",
    "websocket.WebsocketTestCase.testReceiveNonUtf8": "a line is UTF-8",
    "websocket.WebsocketTestCase.testSendNonUtf8": "a line is UTF-8",
    "websocket": "it reads before the message is committed, on a busy machine",
    "who.WhoServicesTestCase": _OWN_NICK,
    "who.WhoTestCase": "irctest skips it always",
    "whois.ServicesWhoisTestCase": _OWN_NICK,
}
"""For the beginning of a test's name, the reason why such tests do not pass. The first match counts."""


_starting = Lock()
"""Makes installations start one after another."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--page", type=Path, help="file for the table as a page")
    chosen, arguments = parser.parse_known_args()
    deselected = [f"--deselect={test}" for one in _OTHERS for test in one.tests]
    files = _files(chosen.checkout)
    parts = [_Installation([*files[number::_PARTS], *deselected]) for number in range(_PARTS)]
    installations = [_Installation(arguments)] if arguments else [*_OTHERS, *parts]
    with ThreadPoolExecutor(len(installations)) as pool:
        found = pool.map(lambda one: _results(chosen.checkout, one), installations)
        results = {name: result for one in found for name, result in one.items()}
    if chosen.page:
        chosen.page.write_text(page(results))
    print(json.dumps(Counter(results.values())))  # noqa: T201
    for row in others(results):
        print("  ".join(row))  # noqa: T201
    return 0


def _results(checkout: Path, installation: _Installation) -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="irctest-") as directory:
        report = Path(directory) / "report.xml"
        place = ("--tcp-port", str(free_ports(1)))
        further = [word for setting in installation.settings for word in ("--set", setting)]
        with ExitStack() as stack:
            with _starting:
                settings = (*_SETTINGS, *further, *place)
                cluster = stack.enter_context(Cluster(Path(directory) / "data", *settings, edges=1))
            ports = _ports(cluster)
            if not installation.settings:
                register(ports["web"], _OPERATOR, "operpassword")
            _run(checkout, report, ports, installation)
        return read_results(report)


def _files(checkout: Path) -> list[str]:
    return [str(file.relative_to(checkout)) for file in sorted(checkout.glob(f"{_TESTS}/**/*.py"))]


def _ports(cluster: Cluster) -> dict[str, int]:
    plain, web = urlsplit(cluster.tcp[0]).port, urlsplit(cluster.edges[0]).port
    assert plain
    assert web
    return {"plain": plain, "web": web}


def _run(checkout: Path, report: Path, ports: dict[str, int], installation: _Installation) -> None:
    command = [
        sys.executable, "-m", "pytest", "--controller", "tests.irc.controller", "-m", _MARKS, "-q",
        "-p", "no:cacheprovider", f"--junitxml={report}", f"--timeout={installation.seconds}",
        *installation.tests,
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DRAGOMAN_PORTS": json.dumps(ports)}
    subprocess.run(command, cwd=checkout, env=environment, check=False)


def read_results(report: Path) -> dict[str, str]:
    """Returns the result of each test: `passed`, `failed` or `skipped`."""
    results = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):  # noqa: S314 # pytest has written it
        kinds = {one.tag for one in case}
        failed, skipped = kinds & {"failure", "error"}, "skipped" in kinds
        results[f"{case.get('classname')}.{case.get('name')}"] = (
            "failed" if failed else "skipped" if skipped else "passed"
        )
    return results


def rows(results: Mapping[str, str]) -> Iterator[tuple[str, int, int, int]]:
    """Yields, for each file, how many tests have passed, failed and were skipped."""
    for file in sorted({_short(name).partition(".")[0] for name in results}):
        counted = Counter(result for name, result in results.items() if _short(name).partition(".")[0] == file)
        yield file, counted["passed"], counted["failed"], counted["skipped"]


def others(results: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yields the tests that have not passed, and why."""
    for name, result in sorted(results.items()):
        if result != "passed":
            short = _short(name)
            yield short, result, next((why for begin, why in _REASONS.items() if short.startswith(begin)), "unknown")


def _short(name: str) -> str:
    """Removes the packages before the file from the name of a test."""
    parts = name.split(".")
    return ".".join(parts[next(number for number, one in enumerate(parts) if one[:1].isupper()) - 1 :])


def page(results: Mapping[str, str]) -> str:
    counted = Counter(results.values())
    lines = [
        "# IRC: what irctest finds",
        "",
        "For developers: the results of [irctest](https://github.com/progval/irctest), which others have written.",
        "`python -m tests.irc.suite CHECKOUT --page docs/evidence/irctest.md` runs it, and writes this page.",
        "",
        f"Of {len(results)} tests {counted['passed']} pass, {counted['failed']} fail, "
        f"{counted['skipped']} are skipped.",
        "",
        "| test | result | why |",
        "|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in others(results)),
        "",
        "| file | passed | failed | skipped |",
        "|---|---|---|---|",
        *("| " + " | ".join(map(str, row)) + " |" for row in rows(results)),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
