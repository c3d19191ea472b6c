"""Compose's Alertmanager sends alerts to the operator's receivers.

The alert that always fires (dead man's switch) has its own receiver.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.ports import free_port
from tests.deploy.deployed_prometheus import ALERTMANAGER, PROMETHEUS, prometheus_command
from tests.support.webhook_receiver import WebhookReceiver

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose"
AMTOOL = shutil.which("amtool")
SECONDS = 60.0


def offered() -> dict[str, str]:
    """Returns the variables of alerts.env, each with its example."""
    lines = (COMPOSE / "alerts.env").read_text().splitlines()
    return dict(line.removeprefix("# ").split("=", 1) for line in lines if line.startswith("# ALERT_"))


def started(directory: Path, program: str, variables: dict[str, str], *options: str) -> "subprocess.Popen[str]":
    """Starts the script with a link named `alertmanager` that leads to `program`.

    So the script runs this program as Alertmanager.
    """
    (directory / "alertmanager").symlink_to(program)
    environment = {"PATH": f"{directory}:{os.environ['PATH']}", "TMPDIR": str(directory)} | variables
    return subprocess.Popen(
        ["/bin/sh", COMPOSE / "alertmanager.sh", *options],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def configured(directory: Path, variables: dict[str, str]) -> tuple[dict[str, Any], str]:
    """Returns the configuration that the script writes for these variables, and the script's output."""
    printed, _ = started(directory, "/bin/true", variables).communicate(timeout=SECONDS)
    config: dict[str, Any] = yaml.safe_load((directory / "alertmanager.yml").read_text())
    return config, printed


def test_by_default_nothing_is_sent_and_the_log_reports_it(tmp_path: Path) -> None:
    config, printed = configured(tmp_path, {})
    assert config["receivers"] == [{"name": "operators"}, {"name": "watchdog"}]
    assert "sent nowhere" in printed


def test_each_variable_has_its_place(tmp_path: Path) -> None:
    variables = {**offered(), "ALERT_SMTP_PASSWORD": "o'range {{#"}
    config, printed = configured(tmp_path, variables)
    assert printed == ""
    operators, watchdog = config["receivers"]
    assert operators["webhook_configs"] == [{"url": variables["ALERT_WEBHOOK"], "send_resolved": True}]
    assert operators["email_configs"] == [
        {
            "to": variables["ALERT_MAIL_TO"], "send_resolved": True, "from": variables["ALERT_MAIL_FROM"],
            "smarthost": variables["ALERT_SMTP"], "auth_username": variables["ALERT_SMTP_USER"],
            "auth_password": variables["ALERT_SMTP_PASSWORD"],
        }
    ]  # fmt: skip
    assert watchdog["webhook_configs"] == [{"url": variables["ALERT_WATCHDOG"], "send_resolved": False}]


def test_mail_without_a_server_is_an_error(tmp_path: Path) -> None:
    script = started(tmp_path, "/bin/true", {"ALERT_MAIL_TO": "ann@chat.example", "ALERT_MAIL_FROM": "a@chat.example"})
    printed, _ = script.communicate(timeout=SECONDS)
    assert script.returncode != 0
    assert "ALERT_SMTP: is missing" in printed


@pytest.mark.skipif(AMTOOL is None, reason="there is no amtool to check a configuration with")
@pytest.mark.parametrize("variables", [{}, offered()], ids=["default", "everything"])
def test_amtool_accepts_the_configuration(tmp_path: Path, variables: dict[str, str]) -> None:
    assert AMTOOL is not None
    configured(tmp_path, variables)
    check = [AMTOOL, "check-config", str(tmp_path / "alertmanager.yml")]
    done = subprocess.run(check, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def ended(process: "subprocess.Popen[Any]") -> Iterator[None]:
    """Ends the process at the end of this context."""
    with process:
        try:
            yield
        finally:
            process.terminate()


def at_once(text: str) -> str:
    """Shortens the waiting times of rules to one second."""
    return re.sub(r"\b(for|evaluation_interval): \w+", r"\1: 1s", text)


def prometheus(directory: Path, alertmanager: int) -> "subprocess.Popen[bytes]":
    """Starts a Prometheus that has nothing to scrape."""
    command = prometheus_command(directory, free_port(), alertmanager, [], "1s", at_once)
    environment = {"no_proxy": "127.0.0.1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.skipif(ALERTMANAGER is None or PROMETHEUS is None, reason="there is no alertmanager, or no prometheus")
def test_an_alert_and_the_dead_man_s_switch_arrive_each_at_its_receiver(tmp_path: Path) -> None:
    assert ALERTMANAGER is not None
    service = yaml.safe_load((COMPOSE.parents[1] / "docker-compose.yml").read_text())["services"]["alertmanager"]
    port = free_port()
    with WebhookReceiver() as receiver:
        places = {"ALERT_WEBHOOK": "/operators", "ALERT_WATCHDOG": "/switch"}
        variables = {name: receiver.url(path=path) for name, path in places.items()} | {"no_proxy": "127.0.0.1"}
        options = [one.replace("/alertmanager", f"{tmp_path}/data") for one in service["command"]]
        address = f"--web.listen-address=127.0.0.1:{port}"
        script = started(tmp_path, ALERTMANAGER, variables, *options, address, "--log.level=error")
        with ended(script), ended(prometheus(tmp_path, port)):
            calls = receiver.wait(lambda received: len(received) > 1)[:2]
    arrived = {one.path: {alert["labels"]["alertname"] for alert in one.event["alerts"]} for one in calls}
    assert arrived == {"/switch": {"DragomanWatchdog"}, "/operators": {"DragomanServiceMissing"}}
