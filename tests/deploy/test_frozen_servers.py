"""NATS, Valkey or the database freezes. Within two minutes, the monitoring must send a page (an alert to the operator).

Prometheus with the deployed rules and Alertmanager are real. No page is sent before the freeze or after it.

Prometheus, its rules and Alertmanager use a fifth of the real times. With DRAGOMAN_TEST_REAL_TIMES=1 they use the real
times, and `--log-cli-level=INFO` shows the seconds until a page came.
"""

import asyncio
import json
import logging
import os
import re
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.ports import free_port
from tests.deploy.deployed_prometheus import ALERTMANAGER, PROMETHEUS, prometheus_command
from tests.support.servers import NatsServer, PostgresServer, Server, ValkeyServer
from tests.support.webhook_receiver import WebhookReceiver

SPEED = 1 if "DRAGOMAN_TEST_REAL_TIMES" in os.environ else 5
BOUND_SECONDS = 120.0
START_SECONDS = 180.0
ALERT = "DragomanDependencyUnavailable"
WATCHDOG = "DragomanWatchdog"

_log = logging.getLogger(__name__)
pytestmark = pytest.mark.skipif(not (PROMETHEUS and ALERTMANAGER), reason="there is no prometheus or no alertmanager")


def scaled(text: str) -> str:
    """Shortens each interval and each `for` of a configuration. The windows of rates stay as they are."""

    def shortened(found: "re.Match[str]") -> str:
        seconds = int(found[2]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[3]]
        return f"{found[1]}: {seconds * 1000 // SPEED}ms"

    return re.sub(r"\b(for|\w+_(?:interval|wait)): (\d+)([smhd])\b", shortened, text)


class Monitoring:
    """Prometheus as it is deployed, but with only one process to scrape. Its Alertmanager sends pages to `receiver`."""

    def __init__(self, directory: Path, target: int, receiver: WebhookReceiver) -> None:
        self._directory = directory
        self._receiver = receiver
        self._port, self._pager_port = free_port(), free_port()
        scrapes = [{"job_name": "auth", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}]
        self.prometheus = prometheus_command(
            directory, self._port, self._pager_port, scrapes, f"{60 // SPEED}s", scaled
        )
        # The values are Alertmanager's defaults. They are written here because only written values can be shortened.
        route = {"receiver": "pager", "group_by": ["alertname", "dependency"],
                 "group_wait": "30s", "group_interval": "5m"}  # fmt: skip
        pager = {"name": "pager", "webhook_configs": [{"url": receiver.url()}]}
        text = scaled(yaml.safe_dump({"route": route, "receivers": [pager]}))
        (directory / "alertmanager.yml").write_text(text)

    @property
    def alertmanager(self) -> list[str]:
        assert ALERTMANAGER is not None
        own = [f"--config.file={self._directory / 'alertmanager.yml'}", f"--storage.path={self._directory / 'pages'}"]
        address = f"--web.listen-address=127.0.0.1:{self._pager_port}"
        return [ALERTMANAGER, *own, address, "--cluster.listen-address=", "--log.level=error"]

    def firing(self) -> set[str]:
        """Returns the dependencies for which this alert fires in Prometheus."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/api/v1/alerts", timeout=5) as reply:
            return _dependencies(json.load(reply)["data"]["alerts"], ALERT, "state")

    def paged(self, alert: str = ALERT) -> set[str]:
        """Returns the dependencies for which a page with this alert has arrived."""
        pages = [one.event["alerts"] for one in list(self._receiver.received)]
        return _dependencies([one for page in pages for one in page], alert, "status")


def _dependencies(alerts: list[dict[str, Any]], name: str, state: str) -> set[str]:
    found = [one for one in alerts if one["labels"]["alertname"] == name and one[state] == "firing"]
    return {one["labels"].get("dependency", "") for one in found}


async def until(look: Callable[[], set[str]], expected: set[str], seconds: float) -> float:
    """Waits until `look` returns exactly the expected names. Returns how many seconds that took."""
    began = time.monotonic()
    found: set[str] | str = "nothing yet"
    while found != expected:
        assert time.monotonic() - began < seconds, f"{found} after {seconds:.0f} s"
        await asyncio.sleep(0.2)
        try:
            found = await asyncio.to_thread(look)
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
def frozen(server: Server) -> Iterator[None]:
    server.pause()
    try:
        yield
    finally:
        server.resume()


async def test_a_frozen_server_pages_within_two_minutes(
    nats_server: NatsServer, valkey_server: ValkeyServer, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """The servers freeze one after the other.

    Each causes pages about its own dependencies only, after the pages about the previous server have ended.
    """
    ops = free_port()
    servers: dict[Server, set[str]] = {
        nats_server: {"nats", "events"}, valkey_server: {"redis"}, postgres_server: {"database"}
    }  # fmt: skip
    with postgres_server.databases() as url, WebhookReceiver() as receiver:
        nats, redis = nats_server.settings("auth"), valkey_server.settings("auth")
        own = [f"nats.url={nats.url}", f"nats.user={nats.user}", f"nats.password={nats.password.get_secret_value()}",
               f"redis.url={redis.url.get_secret_value()}", f"database.url={url}", f"auth.keys={tmp_path / 'keys'}",
               f"mail.outbox={tmp_path / 'outbox'}", f"ops.port={ops}"]  # fmt: skip
        options = [part for one in own for part in ("--set", one)]
        dragoman = [sys.executable, "-m", "dragoman.main"]
        migration = await asyncio.create_subprocess_exec(
            *dragoman, "migrate", "--set", f"database.url={url}", "auth", stdout=asyncio.subprocess.DEVNULL
        )
        assert await migration.wait() == 0
        monitoring = Monitoring(tmp_path, ops, receiver)
        async with running(*dragoman, "auth", *options):
            await until(lambda: answer(ops, "/readyz"), {"200"}, START_SECONDS)
            async with running(*monitoring.alertmanager), running(*monitoring.prometheus):
                await until(lambda: monitoring.paged(WATCHDOG), {""}, START_SECONDS)
                assert (await asyncio.to_thread(monitoring.firing), monitoring.paged()) == (set(), set())
                for server, dependencies in servers.items():
                    receiver.received.clear()
                    with frozen(server):
                        seconds = await until(monitoring.paged, dependencies, BOUND_SECONDS)
                    _log.info("%s froze: the page came after %.0f s", server.name, seconds)
                    await until(monitoring.firing, set(), BOUND_SECONDS)
                    assert monitoring.paged() == dependencies


def answer(port: int, path: str) -> set[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
        return {str(reply.status)}
