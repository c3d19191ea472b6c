"""Tests the chaos drill of Compose: its steps name services that run, and its script rejects steps that it does not
have.
"""

import asyncio
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.deploy.compose_drill import CONTAINERS, FILLED, Project, steps
from tests.deploy.disturbed_drill import Disturbance, until_interrupted

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy/compose/end_to_end.sh"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project("p", tmp_path)


async def test_each_container_that_serves_is_disturbed(project: Project) -> None:
    lines = (ROOT / "docker-compose.yml").read_text().splitlines()
    services = {line.strip(" :") for line in lines if line.startswith("  ") and line[2:3].isalpha()}
    assert set(CONTAINERS) <= services
    assert FILLED.keys() <= services
    found: list[Disturbance] = [step async for step in steps(project, None, "next")]
    assert len({step.name for step in found}) == 3 * len(CONTAINERS) + len(FILLED) + 3


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        taken = subprocess.run([SCRIPT], env=environment | {"DRAGOMAN_PORT": port}, capture_output=True, text=True)
    free = subprocess.run([SCRIPT], env=environment | {"DRAGOMAN_PORT": port}, capture_output=True, text=True)
    assert (taken.returncode, taken.stdout) == (
        2, f"end-to-end test: the port {port} is taken: name a free one by DRAGOMAN_PORT\n",
    )  # fmt: skip
    assert (free.returncode, free.stdout) == (77, "end-to-end test: skipped: no Docker daemon answers\n")


def test_a_wrong_option_of_the_script_is_rejected() -> None:
    done = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, check=True)
    assert "--chaos" in done.stdout


async def test_an_interrupted_drill_ends_after_its_present_step(project: Project) -> None:
    course = until_interrupted(steps(project, None, "next"))
    assert (await anext(course)).name == "fill nats"
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(10):  # the handler of SIGINT runs after some iterations of the event loop
        await asyncio.sleep(0)
    assert [step async for step in course] == []
