"""A real Prometheus that scrapes a system, with the rules that are shipped."""

import json
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from services.cli.data import Running
from services.cli.family import Family
from services.cli.ports import free_port
from tests.drills.cluster import ROOT
from tests.servers import Server

PROMETHEUS = shutil.which("prometheus")
_SECONDS = 30.0
_open = build_opener(ProxyHandler({})).open


def scrape(process: Running) -> str:
    with _open(f"http://127.0.0.1:{process.ops}/metrics", timeout=10) as response:
        text: str = response.read().decode()
    return text


class Prometheus(Server):
    """Scrapes every second."""

    def __init__(self, directory: Path, processes: Iterable[Running], family: Family) -> None:
        assert PROMETHEUS is not None
        jobs: dict[str, list[str]] = {}
        for process in processes:
            jobs.setdefault(process.name.partition("-")[0], []).append(f"127.0.0.1:{process.ops}")
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(ROOT / "deploy" / "prometheus" / "rules" / "*.yml")],
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
        super().__init__("prometheus", command, port, family, directory / "prometheus.log")

    def ask(self, expression: str) -> list[Any]:
        """The answer to an instant query. Raises urllib.error.HTTPError for one that cannot be read."""
        found: list[Any] = self._get("query", query=expression)["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Once all have been evaluated."""
        deadline = time.monotonic() + _SECONDS
        while True:
            rules = [rule for group in self._get("rules")["groups"] for rule in group["rules"]]
            if rules and all(rule["health"] != "unknown" for rule in rules):
                return rules
            assert time.monotonic() < deadline, rules
            time.sleep(0.1)

    def await_samples(self, expression: str) -> None:
        deadline = time.monotonic() + _SECONDS
        while not self.ask(expression):
            assert time.monotonic() < deadline, expression
            time.sleep(0.1)

    def _get(self, what: str, **parameters: str) -> dict[str, Any]:
        with _open(f"http://127.0.0.1:{self.port}/api/v1/{what}?{urlencode(parameters)}", timeout=10) as response:
            data: dict[str, Any] = json.load(response)["data"]
        return data
