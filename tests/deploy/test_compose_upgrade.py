"""Tests deploy/compose/upgrade.sh, its order of calls and its rollback. A fake docker records the calls.

The drill of Compose runs this script with containers.
"""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "compose" / "upgrade.sh"
FORTH = ["message-1", "message-2", "session", "auth", "edge-1", "edge-2", "search"]
BACK = ["edge-1", "edge-2", "auth", "session", "message-1", "message-2", "search"]
DOCKER = """\
#!/bin/sh
case "$*" in
    "image inspect dragoman:0.3.0" | pull*) exit 1 ;;
    *"config --services") printf '%s\\n' search edge-2 edge-1 auth session message-2 message-1 messages balancer ;;
    *" ps "*) [ -e "$FAKE/none" ] || echo dragoman:0.1.0 ;;
    *" up "* | *" run "* | *" restart "*)
        for service; do :; done
        echo "$DRAGOMAN_VERSION ${*#compose --progress quiet }" >> "$FAKE/commands"
        ! grep -qx "$DRAGOMAN_VERSION $service" "$FAKE/failing" ;;
    *cksum*) cat "$FAKE/access"; echo other > "$FAKE/access" ;;
esac
"""
UP = "up --detach --no-deps --wait --wait-timeout 120"
SECOND = {one: f"{UP} --no-recreate --scale {one}=2 {one}" for one in ("session", "auth")}


class FakeHost:
    """A host on which 0.1.0 runs. The host does not have the image of 0.3.0."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name, text in {"docker": DOCKER, "sleep": "#!/bin/sh\n", "failing": "", "access": "other\n"}.items():
            (directory / name).write_text(text)
            (directory / name).chmod(0o755)

    def upgrade(self, *arguments: str, failing: str = "") -> tuple[int, str, list[str]]:
        """Runs the upgrade. Returns the status, the errors, and the recorded calls with their versions."""
        (self.directory / "failing").write_text(failing + "\n")
        (self.directory / "commands").write_text("")
        environment = {"PATH": f"{self.directory}:{os.environ['PATH']}", "FAKE": str(self.directory)}
        done = subprocess.run(
            [SCRIPT, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        return done.returncode, done.stderr, (self.directory / "commands").read_text().splitlines()


def replacement(version: str, *services: str) -> list[str]:
    commands = [[*([SECOND[one]] if one in SECOND else []), f"{UP} {one}"] for one in services]
    return [f"{version} {command}" for some in commands for command in some]


BEGIN = ["0.2.0 run --rm --no-deps -T secrets", "0.2.0 run --rm --no-deps -T migrate"]


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def test_databases_first_edges_after_what_they_request_and_search_last(host: FakeHost) -> None:
    assert host.upgrade("0.2.0") == (0, "", BEGIN + replacement("0.2.0", *FORTH))


def test_back_is_the_opposite_order(host: FakeHost) -> None:
    assert host.upgrade("--back", "0.1.0") == (0, "", replacement("0.1.0", *BACK))


@pytest.mark.parametrize(
    ("ill", "replaced", "back"),
    [("message-1", [], []), ("edge-1", FORTH[:4], ["auth", "session", "message-2", "message-1"])],
)
def test_what_is_not_healthy_takes_all_back(host: FakeHost, ill: str, replaced: list[str], back: list[str]) -> None:
    status, errors, done = host.upgrade("0.2.0", failing=f"0.2.0 {ill}")
    assert (status, errors) == (1, f"upgrade.sh: {ill} was not healthy: went back to dragoman:0.1.0\n")
    went_back = [f"0.1.0 {UP} {ill}", *replacement("0.1.0", *back)]
    assert done == BEGIN + replacement("0.2.0", *replaced, ill) + went_back


def test_search_takes_nothing_back(host: FakeHost) -> None:
    status, _, done = host.upgrade("0.2.0", failing="0.2.0 search")
    assert (status, done[-1]) == (0, f"0.2.0 {UP} search")


def test_the_servers_start_again_for_other_permissions_alone(host: FakeHost) -> None:
    (host.directory / "access").write_text("before\n")
    status, _, done = host.upgrade("0.2.0")
    restarts = [f"0.2.0 {step} {server}" for server in ("nats", "valkey") for step in ("restart", UP)]
    assert (status, done[1:5]) == (0, restarts)


@pytest.mark.parametrize(
    ("failing", "sentence"),
    [
        ("secrets", "they are not issued again; no service was replaced"),
        ("migrate", "the migration has not succeeded; no service was replaced"),
    ],
)
def test_a_failure_before_the_services_replaces_none(host: FakeHost, failing: str, sentence: str) -> None:
    status, errors, done = host.upgrade("0.2.0", failing=f"0.2.0 {failing}")
    assert (status, errors) == (1, f"upgrade.sh: {sentence}\n")
    assert not [one for one in done if " up " in one]


def test_what_cannot_be_is_one_sentence_and_changes_nothing(host: FakeHost) -> None:
    status, errors, done = host.upgrade("0.3.0")
    assert (status, errors) == (
        1,
        "upgrade.sh: there is no image dragoman:0.3.0: docker build --tag dragoman:0.3.0 .\n",
    )
    (host.directory / "none").touch()
    assert "no edge runs: `docker compose up -d` starts an installation" in host.upgrade("0.2.0")[1]
    assert (host.upgrade()[0], done, host.upgrade("--forward")[2]) == (2, [], [])
