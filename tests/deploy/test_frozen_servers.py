"""A real Prometheus with the deployed rules raises the alarm within two minutes when NATS, Valkey and the database are
frozen, and is quiet before and afterwards."""

import asyncio
import json
import shutil
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.ports import free_port
from tests.support.servers import NatsServer, PostgresServer, ValkeyServer
from tests.system.databases import databases

PROMETHEUS = shutil.which("prometheus")
DEPLOYED = Path(__file__).parents[2] / "deploy" / "prometheus"
BOUND_SECONDS = 120.0
START_SECONDS = 60.0
ALERT = "DragomanDependencyAway"


class RunningPrometheus:
    """The deployed configuration, with one process to scrape."""

    def __init__(self, directory: Path, target: int) -> None:
        self.port = free_port()
        self._directory = directory
        config = yaml.safe_load((DEPLOYED / "prometheus.yml").read_text())
        config["rule_files"] = [str(DEPLOYED / "rules" / "*.yml")]
        config["scrape_configs"] = [{"job_name": "auth", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}]
        (directory / "prometheus.yml").write_text(yaml.safe_dump(config))

    @property
    def command(self) -> list[str]:
        assert PROMETHEUS is not None
        tsdb, address = self._directory / "tsdb", f"127.0.0.1:{self.port}"
        own = [f"--config.file={self._directory / 'prometheus.yml'}", "--log.level=error"]
        return [PROMETHEUS, *own, f"--storage.tsdb.path={tsdb}", f"--web.listen-address={address}"]

    def alerts(self, name: str) -> set[str]:
        """Dependencies for which this alert fires."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/alerts", timeout=5) as reply:
            found: list[dict[str, Any]] = json.load(reply)["data"]["alerts"]
        return {
            one["labels"].get("dependency", "")
            for one in found
            if one["labels"]["alertname"] == name and one["state"] == "firing"
        }

    async def until_firing(self, name: str, expected: set[str], seconds: float) -> float:
        """Seconds until exactly these dependencies are named."""
        began = time.monotonic()
        found: set[str] | str = "no answer"
        while found != expected:
            assert time.monotonic() - began < seconds, f"{name}: {found} after {seconds:.0f} s"
            await asyncio.sleep(0.5)
            try:
                found = await asyncio.to_thread(self.alerts, name)
            except OSError as error:
                found = str(error)
        return time.monotonic() - began


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


@contextmanager
def frozen(*servers: NatsServer | ValkeyServer | PostgresServer) -> Iterator[None]:
    for server in servers:
        server.pause()
    try:
        yield
    finally:
        for server in servers:
            server.resume()


@pytest.mark.skipif(PROMETHEUS is None, reason="there is no prometheus")
async def test_frozen_servers_raise_the_alarm_within_two_minutes(
    nats_server: NatsServer, valkey_server: ValkeyServer, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    ops = free_port()
    with databases(postgres_server) as url:
        nats, redis = nats_server.settings("auth"), valkey_server.settings("auth")
        own = [f"nats.url={nats.url}", f"nats.user={nats.user}", f"nats.password={nats.password.get_secret_value()}",
               f"redis.url={redis.url.get_secret_value()}", f"database.url={url}", f"auth.keys={tmp_path / 'keys'}",
               f"mail.outbox={tmp_path / 'outbox'}", f"ops.port={ops}"]  # fmt: skip
        options = [part for one in own for part in ("--set", one)]
        dragoman = [sys.executable, "-m", "services.cli.main"]
        migration = await asyncio.create_subprocess_exec(
            *dragoman, "migrate", "--set", f"database.url={url}", "auth", stdout=asyncio.subprocess.DEVNULL
        )
        assert await migration.wait() == 0
        prometheus = RunningPrometheus(tmp_path, ops)
        async with running(*dragoman, "auth", *options), running(*prometheus.command):
            await prometheus.until_firing("DragomanWatchdog", {""}, START_SECONDS)
            assert await asyncio.to_thread(prometheus.alerts, ALERT) == set()
            with frozen(nats_server, valkey_server, postgres_server):
                everything = {"nats", "events", "database", "redis"}
                await prometheus.until_firing(ALERT, everything, BOUND_SECONDS)
            await prometheus.until_firing(ALERT, set(), BOUND_SECONDS)
