"""Starts Prometheus with the deployed configuration and rules. It sends its alerts to the Alertmanager of the test."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.manifests import RULES

PROMETHEUS = shutil.which("prometheus")
ALERTMANAGER = shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")
_DEPLOYED = Path(__file__).parents[2] / "deploy" / "prometheus"


def prometheus_command(
    directory: Path,
    port: int,
    alertmanager: int,
    scrapes: list[dict[str, Any]],
    resend: str,
    in_time: Callable[[str], str],
) -> list[str]:
    """Returns the command that starts Prometheus. `in_time` shortens the times in the configuration and in the rules.

    Prometheus sends an alert again after `resend`, which is one minute by default. So alerts that it raised before it
    reached its Alertmanager arrive after this time.
    """
    assert PROMETHEUS is not None
    (directory / "rules.yml").write_text(in_time(RULES.read_text()))
    config = yaml.safe_load(in_time((_DEPLOYED / "prometheus.yml").read_text()))
    (found,) = config["alerting"]["alertmanagers"][0]["static_configs"]
    assert found["targets"] == ["alertmanager:9093"]
    found["targets"] = [f"127.0.0.1:{alertmanager}"]
    config |= {"rule_files": [str(directory / "rules.yml")], "scrape_configs": scrapes}
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    return [
        PROMETHEUS, f"--config.file={directory / 'prometheus.yml'}", f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=error", f"--rules.alert.resend-delay={resend}",
    ]  # fmt: skip
