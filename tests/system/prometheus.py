"""A real Prometheus that scrapes a system, with the rules of the product."""

import json
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from local.data import RunningProcess
from local.ports import free_port
from local.process_group import ProcessGroup
from tests.deploy.manifests import RULES
from tests.support.servers import Server

PROMETHEUS = shutil.which("prometheus")
_SECONDS = 30.0
_open = build_opener(ProxyHandler({})).open


def scrape(process: RunningProcess) -> str:
    with _open(f"http://127.0.0.1:{process.ops}/metrics", timeout=10) as response:
        text: str = response.read().decode()
    return text


class Prometheus(Server):
    """A Prometheus that scrapes every second, and fires an alert without the rule's `for` period."""

    def __init__(self, directory: Path, processes: Iterable[RunningProcess], process_group: ProcessGroup) -> None:
        assert PROMETHEUS is not None
        rules = directory / "rules.yml"
        rules.write_text(re.sub(r"\bfor: \w+", "for: 1s", RULES.read_text()))
        jobs: dict[str, list[str]] = {}
        for process in processes:
            jobs.setdefault(process.name.partition("-")[0], []).append(f"127.0.0.1:{process.ops}")
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": targets}]} for job, targets in jobs.items()
            ],
        }
        file, port = directory / "prometheus.json", free_port()
        file.write_text(json.dumps(config))
        command = [
            PROMETHEUS, f"--config.file={file}", f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
        ]  # fmt: skip
        super().__init__("prometheus", command, port, process_group, directory / "prometheus.log")

    def start(self) -> None:
        super().start()
        deadline = time.monotonic() + _SECONDS
        while not self._is_ready():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def request(self, expression: str) -> list[Any]:
        """Returns the result of an instant query. Raises urllib.error.HTTPError if the expression is invalid."""
        found: list[Any] = self._get("query", query=expression)["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Waits until all rules have been evaluated, and returns them."""
        deadline = time.monotonic() + _SECONDS
        while True:
            rules = [rule for group in self._get("rules")["groups"] for rule in group["rules"]]
            if rules and all(rule["health"] != "unknown" for rule in rules):
                return rules
            assert time.monotonic() < deadline, rules
            time.sleep(0.1)

    def alerts(self) -> set[tuple[str, str]]:
        """Returns the name and the job of each firing alert, except the alert that always fires."""
        alerts = self._get("alerts")["alerts"]
        firing = {(a["labels"]["alertname"], a["labels"].get("job", "")) for a in alerts if a["state"] == "firing"}
        return firing - {("DragomanWatchdog", "")}

    def await_alerts(self, *expected: tuple[str, str]) -> None:
        """Waits until these alerts fire. Other alerts do not matter."""
        deadline = time.monotonic() + _SECONDS
        while missing := set(expected) - self.alerts():
            assert time.monotonic() < deadline, missing
            time.sleep(0.1)

    def await_quiet(self) -> None:
        """Waits until no alert fires. Before the first scrapes, alerts fire because every job is missing."""
        deadline = time.monotonic() + _SECONDS
        while firing := self.alerts():
            assert time.monotonic() < deadline, firing
            time.sleep(0.1)

    def await_samples(self, expression: str) -> None:
        deadline = time.monotonic() + _SECONDS
        while not self.request(expression):
            assert time.monotonic() < deadline, expression
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        """Returns whether Prometheus is ready. It listens before it can answer queries."""
        try:
            with _open(f"http://127.0.0.1:{self.port}/-/ready", timeout=10):
                return True
        except HTTPError:
            return False

    def _get(self, what: str, **parameters: str) -> dict[str, Any]:
        with _open(f"http://127.0.0.1:{self.port}/api/v1/{what}?{urlencode(parameters)}", timeout=10) as response:
            data: dict[str, Any] = json.load(response)["data"]
        return data
