"""deploy/compose/upgrade.sh: its order, what it waits for, and how it goes back."""

import marshal
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "compose" / "upgrade.sh"
ORDER = ["message-1", "message-2", "session", "auth", "edge-1", "edge-2"]
KEPT = "dragoman:before-shop"


class FakeHost:
    """A host where 0.1.0 runs, and has the images of 0.1.0 and 0.2.0."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        docker = directory / "docker"
        docker.write_text(f"#!{sys.executable} -IS\n{Path(__file__).with_name('fake_docker.py').read_text()}")
        docker.chmod(0o755)
        self.set(
            images={"dragoman:0.1.0": "old", "dragoman:0.2.0": "new"}, named="0.1.0", access="a", unseen=[], ill=[],
            containers=dict.fromkeys([*ORDER, "balancer", "valkey"], "old"), failing=[],
            services=["balancer", *reversed(ORDER), "messages", "valkey"],
        )  # fmt: skip
        self.set(**{"next access": "a"})

    def set(self, **values: Any) -> None:
        file = self._directory / "state"
        state = marshal.loads(file.read_bytes()) if file.exists() else {}  # noqa: S302
        file.write_bytes(marshal.dumps(state | values))

    def state(self, name: str) -> Any:
        return marshal.loads((self._directory / "state").read_bytes())[name]  # noqa: S302

    def upgrade(self, *arguments: str, version: str = "") -> "subprocess.CompletedProcess[str]":
        (self._directory / "commands").write_text("")
        environment = {
            "PATH": f"{self._directory}:{os.environ['PATH']}", "FAKE": str(self._directory),
            "DRAGOMAN_VERSION": version, "DRAGOMAN_STEP_SECONDS": "1",
        }  # fmt: skip
        return subprocess.run(
            [SCRIPT, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=100
        )

    def commands(self) -> list[str]:
        return (self._directory / "commands").read_text().splitlines()

    def replaced(self) -> list[str]:
        """Services and what they were replaced with, in turn."""
        return [one.removeprefix("compose up ") for one in self.commands() if one.startswith("compose up")]

    def running(self) -> list[str]:
        return [self.state("containers")[one] for one in ORDER]


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def replacement(service: str) -> list[str]:
    """By 0.2.0. Of session and auth, of which there is one, another serves meanwhile."""
    commands = [f"stop 40 {service}", f"compose up {service} with dragoman:0.2.0"]
    if service not in ("session", "auth"):
        return commands
    standby = f"shop-standby-{service}"
    return [f"compose run {standby} {service} with dragoman:0.2.0", *commands, f"stop 40 {standby}"]


def test_databases_first_edges_last_each_anew(host: FakeHost) -> None:
    done = host.upgrade("0.2.0")
    assert done.returncode == 0, done.stderr
    assert host.commands() == [
        f"tag old {KEPT}",
        "compose run secrets with dragoman:0.2.0",
        "compose kill HUP nats",
        "compose run migrate with dragoman:0.2.0",
        *(command for one in ORDER for command in replacement(one)),
    ]
    assert done.stdout.endswith(
        "set DRAGOMAN_VERSION=0.2.0 in .env, or the next `docker compose up` starts dragoman:0.1.0\n"
    )


def test_back_is_the_opposite_order_and_the_tag_of_before(host: FakeHost) -> None:
    host.upgrade(version="0.2.0")
    done = host.upgrade("--back", version="0.2.0")
    assert done.returncode == 0, done.stderr
    assert host.replaced() == [
        f"{one} with dragoman:0.1.0" for one in ("edge-1", "edge-2", "auth", "session", "message-1", "message-2")
    ]
    assert "went back to dragoman:0.1.0\n" in done.stdout
    assert "set DRAGOMAN_VERSION=0.1.0 in .env" in done.stdout
    assert (host.upgrade("--back").returncode, host.replaced()) == (0, [])


def test_a_tag_that_has_become_another_image_goes_back_too(host: FakeHost) -> None:
    host.set(images={"dragoman:0.1.0": "new"})
    done = host.upgrade()
    assert (done.returncode, host.running()) == (0, ["new"] * 6)
    assert "set DRAGOMAN_VERSION" not in done.stdout
    assert host.upgrade("--back").returncode == 0
    assert host.replaced()[0] == f"edge-1 with {KEPT}"
    assert host.running() == ["old"] * 6


def test_what_is_not_healthy_goes_back(host: FakeHost) -> None:
    host.set(ill=["new"])
    done = host.upgrade("0.2.0")
    assert (done.returncode, host.running()) == (1, ["old"] * 6)
    assert host.replaced() == ["message-1 with dragoman:0.2.0", "message-1 with dragoman:0.1.0"]
    assert done.stderr.endswith("message-1 was not healthy within 1 s: went back to what ran before\n")


def test_the_only_one_serves_until_another_is_healthy(host: FakeHost) -> None:
    host.set(ill=["new"], containers=host.state("containers") | {"message-1": "new", "message-2": "new"})
    done = host.upgrade("0.2.0")
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "log of shop-standby-session")
    assert "log of session" not in done.stderr
    assert "stop 40 session" not in host.commands()
    assert host.running() == ["old"] * 6
    assert "shop-standby-session" not in host.state("containers")


def test_an_edge_stays_until_the_balancer_has_the_one_before(host: FakeHost) -> None:
    host.set(unseen=["edge-1"])
    done = host.upgrade("0.2.0")
    assert done.returncode == 1
    assert "edge-2" not in " ".join(host.commands())
    assert "edge-1 is not healthy after going back: docker compose logs edge-1" in done.stderr


def test_an_interrupted_upgrade_goes_on_and_back_to_what_ran_before(host: FakeHost) -> None:
    host.set(containers=host.state("containers") | {"message-1": "new", "session": "new"})
    assert host.upgrade("0.2.0").returncode == 0
    assert [one.split()[0] for one in host.replaced()] == ["message-2", "auth", "edge-1", "edge-2"]
    assert host.upgrade("--back").returncode == 0
    assert host.running() == ["old"] * 6
    assert host.upgrade("0.2.0").returncode == 0
    assert (host.upgrade("0.2.0").returncode, host.replaced()) == (0, [])
    assert host.state("images")[KEPT] == "old"


def test_valkey_starts_anew_only_for_other_rights(host: FakeHost) -> None:
    host.set(**{"next access": "b"})
    assert host.upgrade("0.2.0").returncode == 0
    assert host.commands()[3] == "compose restart valkey"


def test_search_comes_last_and_takes_nothing_back(host: FakeHost) -> None:
    host.set(services=[*host.state("services"), "search"], failing=["compose up search"])
    host.set(containers=host.state("containers") | {"search": "old"})
    done = host.upgrade("0.2.0")
    assert done.returncode == 0, done.stderr
    assert (host.running(), host.commands()[-1]) == (["new"] * 6, "compose up search with dragoman:0.2.0")
    assert "search is not healthy: docker compose logs search\n" in done.stdout
    host.set(failing=[])
    assert (host.upgrade("0.2.0").returncode, host.replaced()) == (0, ["search with dragoman:0.2.0"])
    assert host.upgrade("--back").returncode == 0
    assert host.replaced()[-1] == "search with dragoman:0.1.0"


@pytest.mark.parametrize(
    ("failing", "sentence"),
    [
        ("compose run secrets", "they are not issued anew; no service was replaced"),
        ("compose run migrate", "the migration has not succeeded; no service was replaced"),
    ],
)
def test_a_failure_before_the_services_replaces_none(host: FakeHost, failing: str, sentence: str) -> None:
    host.set(failing=[failing])
    done = host.upgrade("0.2.0")
    assert (done.returncode, host.replaced()) == (1, [])
    assert done.stderr == f"{failing} fails\nupgrade.sh: {sentence}\n"


def test_what_cannot_be_is_one_sentence_and_changes_nothing(host: FakeHost) -> None:
    assert host.upgrade("--back").stderr == "upgrade.sh: nothing to go back to: no upgrade was made\n"
    assert host.upgrade("0.3.0").stderr.endswith(
        "upgrade.sh: there is no image dragoman:0.3.0: docker build --tag dragoman:0.3.0 .\n"
    )
    assert "Usage: upgrade.sh [TAG]" in host.upgrade("--forward").stdout
    host.set(containers={})
    assert "nothing runs: `docker compose up -d` starts an installation" in host.upgrade("0.2.0").stderr
    host.set(containers={"valkey": "old"})
    assert "edge-2 does not run: `docker compose up -d` starts it" in host.upgrade("0.2.0").stderr
    host.set(failing=["info"])
    assert host.upgrade("0.2.0").stderr == "upgrade.sh: no Docker daemon answers\n"
    assert host.commands() == []
