"""The chaos of Compose: its steps name what runs, and its faults are Docker's."""

import asyncio
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import compose_trial
from tests.deploy.compose_trial import CONTAINERS, Project, steps
from tests.deploy.disturbed_trial import CommandFailed, Disturbance

ROOT = Path(__file__).parents[2]


class FakeDocker:
    """One container, whose process starts anew when it is killed; its health is that of its last start."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.starts = 1
        self.running = True
        self.containers = ["c1"]

    async def run(self, *command: str) -> str:
        self.commands.append(" ".join(command))
        match command[1]:
            case "ps":
                return "\n".join(self.containers)
            case "restart":
                self.starts += 1
            case "inspect":
                return json.dumps([{"State": self._state()}])
        return ""

    def kill(self, pid: int, number: int) -> None:
        self.commands.append(f"kill {number} {pid}")
        self.running = False

    def _state(self) -> dict[str, Any]:
        if not self.running:  # seen dead once, then started again
            self.running, self.starts = True, self.starts + 1
            return {"Pid": 0, "StartedAt": f"start {self.starts - 1}", "Health": {"Status": "healthy"}}
        return {"Pid": 70 + self.starts, "StartedAt": f"start {self.starts}", "Health": {"Status": "healthy"}}


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    docker = FakeDocker()
    monkeypatch.setattr(compose_trial, "run", docker.run)
    monkeypatch.setattr("os.kill", docker.kill)
    monkeypatch.setattr(compose_trial, "FREEZE_SECONDS", 0.0)
    monkeypatch.setattr(compose_trial, "_PAUSE_SECONDS", 0.0)
    return docker


async def test_a_killed_container_is_awaited_until_it_has_started_again(docker: FakeDocker) -> None:
    async with asyncio.timeout(10):
        await Project("p").kill("nats")
    assert f"kill {int(signal.SIGKILL)} 71" in docker.commands
    assert docker.starts == 2


async def test_a_freeze_ends_and_a_restart_is_docker_s(docker: FakeDocker) -> None:
    await Project("p").freeze("valkey")
    await Project("p").restart("valkey")
    acts = [command for command in docker.commands if command.split()[1] in ("pause", "unpause", "restart")]
    assert acts == ["docker pause c1", "docker unpause c1", "docker restart c1"]


async def test_a_project_that_does_not_run_is_one_sentence(docker: FakeDocker) -> None:
    docker.containers = []
    with pytest.raises(CommandFailed, match="the project p has 0 containers of auth, not one"):
        await Project("p").restart("auth")


async def test_each_container_that_serves_is_disturbed() -> None:
    lines = (ROOT / "docker-compose.yml").read_text().splitlines()
    services = {line.strip(" :") for line in lines if line.startswith("  ") and line[2:3].isalpha()}
    assert set(CONTAINERS) <= services
    found: list[Disturbance] = [step async for step in steps(Project("p"), None)]
    assert len({step.name for step in found}) == 3 * len(CONTAINERS)


def test_a_wrong_option_of_the_trial_is_rejected() -> None:
    done = subprocess.run([ROOT / "deploy/compose/trial.sh", "--help"], capture_output=True, text=True, check=True)
    assert "--chaos" in done.stdout
