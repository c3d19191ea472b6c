"""Three real servers with the deployed configuration form one cluster.

They authenticate each other by a common certificate.
"""

import asyncio
import json
import os
import re
import subprocess
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from local import nats
from local.ports import free_port
from services.cli.certificates import ensure_route_certificate
from services.cli.secrets import Addresses, issue
from tests.support.commands import ROOT
from tests.support.small_disk import small_disk

SECONDS = 30.0
CONFIG = ROOT / "deploy" / "k8s" / "servers" / "nats.conf"
PORTS = ("port: 4222", "http: 8222", "port: 6222")


class ClusterPeer:
    """A server with the configuration of the pod, but with ports and paths of this machine.

    `routes` are the ports of the cluster.
    """

    def __init__(self, directory: Path, secrets: Path, name: str, route: int, routes: list[int]) -> None:
        self.monitor = free_port()
        directory.mkdir()
        urls = ", ".join(f'"nats://localhost:{port}"' for port in routes)
        text = CONFIG.read_text().replace("/etc/nats/secrets", str(secrets / "nats"))
        for placeholder, port in zip(PORTS, (free_port(), self.monitor, route), strict=True):
            text = text.replace(placeholder, f"{placeholder.split(':')[0]}: {port}")
        text = re.sub(r"routes: \[.*\]", f"routes: [{urls}]", text).replace("/data", str(directory / "data"))
        text = re.sub("pid_file: .*", f"pid_file: {directory / 'pid'}", text)
        (directory / "nats.conf").write_text(text)
        (directory / "secrets").symlink_to(secrets / "nats")
        self.command = nats.command(directory / "nats.conf")
        self.environment = {"POD_NAME": name}

    def peers(self) -> set[str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}/routez", timeout=5) as reply:
                return {route["remote_name"] for route in json.load(reply)["routes"]}
        except OSError:
            return set()


async def test_only_servers_with_the_certificate_join(tmp_path: Path) -> None:
    issue(tmp_path / "issued", Addresses("nats://nats:4222", "valkey:6379", "postgres:5432", "dragoman"))
    issue(tmp_path / "others", Addresses("nats://nats:4222", "valkey:6379", "postgres:5432", "dragoman"))
    routes = [free_port() for _ in range(4)]
    secrets = [tmp_path / "issued"] * 3 + [tmp_path / "others"]
    servers = [ClusterPeer(tmp_path / f"nats-{n}", secrets[n], f"nats-{n}", routes[n], routes[:3]) for n in range(4)]
    running = [
        await asyncio.create_subprocess_exec(*one.command, env=one.environment, stderr=asyncio.subprocess.DEVNULL)
        for one in servers
    ]
    try:
        names = {"nats-0", "nats-1", "nats-2"}
        async with asyncio.timeout(SECONDS):
            while [await asyncio.to_thread(one.peers) for one in servers[:3]] != [
                names - {f"nats-{n}"} for n in range(3)
            ]:
                await asyncio.sleep(0.1)
        assert await asyncio.to_thread(servers[3].peers) == set()
    finally:
        for process in running:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def test_the_certificate_stays(tmp_path: Path) -> None:
    first = [file.read_bytes() for file in ensure_route_certificate(tmp_path, ("localhost",))]
    assert [file.read_bytes() for file in ensure_route_certificate(tmp_path, ("localhost",))] == first


@pytest.mark.parametrize("missing", ["cluster.crt", "cluster.key"])
def test_half_a_certificate_is_made_anew(tmp_path: Path, missing: str) -> None:
    first = [file.read_bytes() for file in ensure_route_certificate(tmp_path, ("localhost",))]
    (tmp_path / missing).unlink()
    assert all(file.read_bytes() not in first for file in ensure_route_certificate(tmp_path, ("localhost",)))


def is_alive(directory: Path, *well: str, pod: str = "nats-0") -> bool:
    """Returns whether alive.sh says that a server is alive when only the health checks `well` succeed.

    The server's data is in `disk`.
    """
    script = (CONFIG.parent / "alive.sh").read_text()
    for path, own in (("/data/", f"{directory / 'disk'}/"), ("/tmp/roomy", str(directory / pod))):  # noqa: S108
        script = script.replace(path, own)
    cases = " | ".join(f"*{check}=true" for check in (*well, "nothing"))
    wget = directory / "wget"
    wget.write_text(f"#!/bin/sh\nfor url; do :; done\ncase $url in {cases}) exit 0 ;; *) exit 1 ;; esac\n")
    wget.chmod(0o755)
    environment = {"PATH": f"{directory}:{os.environ['PATH']}", "POD_NAME": pod}
    return subprocess.run(["/bin/sh", "-c", script], env=environment, check=False).returncode == 0


def test_a_server_without_jetstream_is_started_again_once_its_disk_has_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2) as disk:
        assert is_alive(tmp_path, "js-enabled-only", "js-server-only")
        disk.fill()
        assert is_alive(tmp_path, "js-server-only")
        assert not is_alive(tmp_path)
        disk.free()
        assert not is_alive(tmp_path, "js-server-only")
        assert list(disk.path.iterdir()) == []


def test_servers_without_jetstream_are_started_again_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    for number in (0, 1, 2):
        pod = f"nats-{number}"
        for _ in range(2):
            checks = [is_alive(tmp_path, "js-server-only", pod=pod) for _ in range(5)]
            assert checks == [True] * 2 * number + [False] * (5 - 2 * number)
            assert is_alive(tmp_path, "js-enabled-only", pod=pod)
