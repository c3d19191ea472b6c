"""The chaos of Compose: its steps name what runs, its faults are Docker's, and a disk stays full."""

import asyncio
import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import compose_trial, disturbed_trial
from tests.deploy.compose_trial import CONTAINERS, FILLED, Project, steps
from tests.deploy.disturbed_trial import CommandFailed, Disturbance, lasting, until_interrupted
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.waiting import WAIT_SECONDS

ROOT = Path(__file__).parents[2]
TRIAL = ROOT / "deploy/compose/trial.sh"


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
    monkeypatch.setattr(disturbed_trial, "FAULT_SECONDS", 0.0)
    monkeypatch.setattr(compose_trial, "PAUSE_SECONDS", 0.0)
    return docker


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project("p", tmp_path)


async def test_a_killed_container_is_awaited_until_it_has_started_again(docker: FakeDocker, project: Project) -> None:
    async with asyncio.timeout(10):
        await project.kill("nats")
    assert f"kill {int(signal.SIGKILL)} 71" in docker.commands
    assert docker.starts == 2


async def test_a_freeze_ends_and_a_restart_is_docker_s(docker: FakeDocker, project: Project) -> None:
    await lasting(lambda: project.frozen("valkey"), None)
    await project.restart("valkey")
    acts = [command for command in docker.commands if command.split()[1] in ("pause", "unpause", "restart")]
    assert acts == ["docker pause c1", "docker unpause c1", "docker restart c1"]


async def test_a_project_that_does_not_run_is_one_sentence(docker: FakeDocker, project: Project) -> None:
    docker.containers = []
    with pytest.raises(CommandFailed, match="the project p has 0 containers of auth, not one"):
        await project.restart("auth")


async def test_a_full_disk_stays_full_until_the_end_and_then_has_room(
    docker: FakeDocker, project: Project, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "nats", 1) as disk:
        old = disk.path / "old"
        old.write_bytes(bytes(65_536))
        async with project.full("nats"):
            await until_full(disk)
            old.unlink()
            await until_full(disk)
        assert list(disk.path.iterdir()) == []


async def until_full(disk: SmallDisk) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while os.statvfs(disk.path).f_bavail:
            await asyncio.sleep(0.01)


async def test_each_container_that_serves_is_disturbed(project: Project) -> None:
    lines = (ROOT / "docker-compose.yml").read_text().splitlines()
    services = {line.strip(" :") for line in lines if line.startswith("  ") and line[2:3].isalpha()}
    assert set(CONTAINERS) <= services
    assert FILLED.keys() <= services
    found: list[Disturbance] = [step async for step in steps(project, None, "next")]
    assert len({step.name for step in found}) == 3 * len(CONTAINERS) + len(FILLED) + 2


async def test_the_installation_is_upgraded_and_taken_back(docker: FakeDocker, project: Project) -> None:
    found = {step.name: step async for step in steps(project, None, "next")}
    await found["upgrade"].act()
    await found["back"].act()
    assert docker.commands == ["deploy/compose/upgrade.sh next", "deploy/compose/upgrade.sh --back"]
    assert found["upgrade"].outage == ""  # the time without service is measured


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        taken = subprocess.run([TRIAL], env=environment | {"DRAGOMAN_PORT": port}, capture_output=True, text=True)
    free = subprocess.run([TRIAL], env=environment | {"DRAGOMAN_PORT": port}, capture_output=True, text=True)
    assert (taken.returncode, taken.stdout) == (
        2, f"trial: the port {port} is taken: name a free one by DRAGOMAN_PORT\n",
    )  # fmt: skip
    assert (free.returncode, free.stdout) == (77, "trial: skipped: no Docker daemon answers\n")


def test_a_wrong_option_of_the_trial_is_rejected() -> None:
    done = subprocess.run([TRIAL, "--help"], capture_output=True, text=True, check=True)
    assert "--chaos" in done.stdout


async def test_an_interrupted_trial_ends_after_its_present_step(project: Project) -> None:
    course = until_interrupted(steps(project, None, "next"))
    assert (await anext(course)).name == "fill nats"
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(10):  # turns of the loop, until its handler has run
        await asyncio.sleep(0)
    assert [step async for step in course] == []
