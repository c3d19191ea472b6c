"""Runs the operators' commands on a running system, as the pages print them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.test_commands import PAGES, ROOT, commands
from tests.support.cluster import Cluster
from tests.support.commands import DRAGOMAN, run
from tests.system.conftest import Dial
from tests.system.users import V2User

pytestmark = pytest.mark.xdist_group("system")

REFERENCE = ROOT / "docs" / "reference" / "cli.md"
"""The page whose commands are not run here, because its examples have invented values.
tests/unit/services/cli/test_main.py parses them.
"""
ELSEWHERE = {
    "admin dead-letters show": "tests/unit/services/cli/admin/test_dead_letters.py",
    "admin dead-letters retry": "tests/unit/services/cli/admin/test_dead_letters.py",
    "admin dead-letters discard": "tests/unit/services/cli/admin/test_dead_letters.py",
    "admin webhook delete": "tests/system/test_incoming_webhooks.py",
    "admin keys retire": "tests/unit/services/cli/admin/test_keys.py",
    "admin media remove": "tests/unit/services/cli/admin/test_media.py",
    "admin report close": "tests/unit/services/cli/admin/test_reports.py",
    "auth": "tests/system/test_starting.py",
    "bench": "tests/unit/bench/measurements",
    "client": "tests/system/test_terminal_client.py",
    "dashboard": "tests/unit/services/cli/overview/test_server.py",
    "doctor --config": "tests/unit/services/cli/doctor/test_doctor.py",
    "doctor auth": "tests/unit/services/cli/doctor/test_doctor.py",
    "edge": "tests/system/test_starting.py",
    "message": "tests/system/test_starting.py",
    "migrate": "tests/deploy/test_backup.py",
    "restore": "tests/system/test_backup.py",
    "search": "tests/system/test_search.py",
    "secrets": "tests/unit/services/cli/test_secrets.py",
    "session": "tests/system/test_starting.py",
    "top": "tests/system/test_dashboards.py",
    "up": "tests/system/test_readme.py",
}
"""Commands that are run by other tests, with these tests.

Such a command does not end, needs another kind of installation, or stops this one.
"""
_GROUPS = re.compile(r"admin(?: (?:user|chat|webhook|message|media|record|report|dead-letters|bot|keys|maintenance))?$")
_CONFIRMED = (
    "admin bot revoke", "admin announce", "admin user delete", "admin user disable", "admin user export",
    "admin user kick", "admin user reset-password",
)  # fmt: skip
_SECONDS = 60.0
_MADE = {
    "ID": re.compile(r"record stop (\w+)"),
    "BOT": re.compile(r"the bot (\d+) is made"),
    "TOKEN": re.compile(r"the token (\w+), until"),
}
"""Expressions that find values in the output of commands. Later commands need these values."""


def printed() -> list[str]:
    """Returns each command once, with its arguments. Alternatives (`on|off`) are separate commands."""
    found = dict.fromkeys(
        one
        for page in PAGES
        if page != REFERENCE
        for program, words in commands(page)
        if program == "dragoman" and "…" not in words
        for one in alternatives(" ".join(words))
    )
    return [one for one in found if not (_GROUPS.match(one) or any(other.startswith(f"{one} ") for other in found))]


def alternatives(line: str) -> Iterator[str]:
    several = re.search(r"\S+\|\S+", line)
    if several is None:
        yield line
    else:
        for one in several[0].split("|"):
            yield line.replace(several[0], one)


def is_run_elsewhere(line: str) -> bool:
    return any(f"{line} ".startswith(f"{beginning} ") for beginning in ELSEWHERE)


class Operator:
    """Replaces the values that the pages leave to the reader, and runs the commands in a directory."""

    def __init__(self, system: Cluster, directory: Path, couple: tuple[V2User, V2User, int]) -> None:
        self._system = system
        self._directory = directory
        user, peer, chat = couple
        self._address = user.account.email
        self._values = {
            "ACCOUNT": self._address, "[ACCOUNT]": self._address, "ann": self._address, "ADDRESS": peer.account.email,
            "NUMBER": str(chat), "MESSAGE": f"{chat}/0", "CHAT/INDEX": f"{chat}/1",
            "TEXT": "hello, all of you", "ann.record": str(directory / "ann.record"),
            "/var/lib/node_exporter/dragoman.prom": str(directory / "dragoman.prom"),
            "ws://127.0.0.1:8080": system.edges[0],
        }  # fmt: skip

    def run(self, line: str, backup: str) -> str:
        line = line.replace("--data DIR", f"--data {self._system.data}")
        words = [self._values.get(word, word) for word in shlex.split(line)]
        words = [str(self._directory / backup) if word == "DIR" else word for word in words]
        if line.startswith(_CONFIRMED):
            words += ["--yes", "--to", self._address] if "announce" in line else ["--yes"]
        if not line.startswith("replay"):
            words += ["--set", f"data={self._system.data}"]
        status, shown = run([*DRAGOMAN, *words], self._directory / "log", _SECONDS)
        assert status == 0, shown
        self._values |= {name: found[1] for name, pattern in _MADE.items() if (found := pattern.search(shown))}
        return shown


def test_each_command_that_is_not_run_here_is_run_by_a_test() -> None:
    assert [path for path in ELSEWHERE.values() if not (ROOT / path).exists()] == []
    assert {beginning for beginning in ELSEWHERE if not any(is_run_elsewhere(line) for line in printed())} == set()


def order(line: str) -> int:
    """Returns the place of a command in the order.

    Recordings are started, listed, ended and played. Commands that end logins come later, and deletions come last.
    """
    beginnings = (
        "admin bot token", "admin bot revoke", "admin record start", "admin record list", "admin record stop", "replay",
        "admin user",
    )  # fmt: skip
    found = [place for place, beginning in enumerate(beginnings, 1) if line.startswith(beginning)]
    return len(beginnings) + 1 if line.startswith("admin user delete") else found[0] if found else 0


def test_what_the_pages_print_can_be_run(
    system: Cluster, couple: tuple[V2User, V2User, int], dial: Dial, tmp_path: Path
) -> None:
    user, _, chat = couple
    user.post(chat, "hello")
    operator = Operator(system, tmp_path, couple)
    lines = sorted((line for line in printed() if not is_run_elsewhere(line)), key=order)
    shown = dict[str, str]()
    for number, line in enumerate(lines):
        if line == "admin record list":
            again = dial(system.edges[0])
            again.login(user.account)
            again.post(chat, "recorded")
        shown[line] = operator.run(line, f"backup-{number}")
    played = shown["replay ann.record"]
    assert "recorded" in played
    assert "log in first" not in played
    assert len(shown) > 25
