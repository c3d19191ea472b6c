"""docker-compose.yml uses only settings that exist, and only syntax that older versions of Compose have."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.options import variable
from local.settings_table import leaves
from shared.settings import Settings
from shared.settings.edge import LONGEST_DRAIN_SECONDS
from tests.support.small_disk import small_disk

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
_PORTS = r"\n    ports: \[(.*)\]"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
SETTINGS = {variable(name) for name, _, _ in leaves(Settings())}
ONLY_OF_THE_FILE = {
    "DRAGOMAN_VERSION", "DRAGOMAN_PORT", "DRAGOMAN_PUBLIC_URL", "DRAGOMAN_RATES", "DRAGOMAN_TLS_PEM",
    "DRAGOMAN_ENV_FILE", "DRAGOMAN_ALERTS_FILE", "DRAGOMAN_MEMORY", "DRAGOMAN_FILES",
    "DRAGOMAN_BACKUP_AT", "DRAGOMAN_BACKUP_MEMORY", "DRAGOMAN_BACKUPS_KEPT", "DRAGOMAN_SHARED_BUFFERS",
}  # fmt: skip
EXPORTERS = ("nats-exporter", "valkey-exporter", "postgres-exporter", "blackbox")


def test_every_variable_is_a_setting_or_the_users_choice() -> None:
    used = set(re.findall(r"\bDRAGOMAN_\w+", COMPOSE + DOCKERFILE))
    assert used - SETTINGS == ONLY_OF_THE_FILE


def test_every_line_of_the_settings_file_is_a_setting() -> None:
    lines = (ROOT / "deploy" / "compose" / "settings.env").read_text()
    offered = re.findall(r"^# (DRAGOMAN_\w+)=", lines, re.M)
    assert len(offered) > 8
    assert set(offered) <= SETTINGS


def test_interpolation_is_supported_by_every_compose_version() -> None:
    for expression in re.findall(r"\$\{([^}]*)\}", COMPOSE):
        assert re.fullmatch(r"[A-Z_]+(:-[^${}]*)?", expression), expression


def test_file_has_no_passwords() -> None:
    assert not re.search(r"(?i)password: *\S", COMPOSE)
    assert "PASSWORD_FILE" in COMPOSE


def test_grace_period_covers_the_longest_drain() -> None:
    edges = [service for service in SERVICES.values() if service.get("command", [""])[0] == "edge"]
    assert len(edges) == 2
    assert all(int(one["stop_grace_period"].removesuffix("s")) >= LONGEST_DRAIN_SECONDS + 20 for one in edges)


def test_every_container_is_unprivileged_and_bounded() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
        assert {"mem_limit", "cpu_quota", "pids_limit", "ulimits"} <= service.keys(), name
        assert service.get("read_only") or name in {"postgres", "grafana"}, name
    assert "USER 10001:10001" in DOCKERFILE


def test_every_container_has_a_limit_of_processor_time_on_hosts_of_any_size() -> None:
    """The test rejects `cpus`: Docker starts no container whose `cpus` is more than the number of the host's cores."""
    for name, service in SERVICES.items():
        assert 0.5 <= service["cpu_quota"] / service["cpu_period"] <= 4, name
        assert "cpus" not in service, name


def test_every_check_is_red_within_fifteen_seconds() -> None:
    seconds = {"4s": 4, "3s": 3}
    for name, service in SERVICES.items():
        check = service["healthcheck"]
        if not check.get("disable") and name != "backup":
            assert (seconds[check["interval"]] + seconds[check["timeout"]]) * check["retries"] <= 15, name


def test_the_servers_are_in_networks_of_their_own() -> None:
    networks = yaml.safe_load(COMPOSE)["networks"]
    for server, network in (("nats", "bus"), ("valkey", "cache"), ("postgres", "store")):
        assert SERVICES[server]["networks"] == [network]
        assert networks[network] == {"internal": True}
    assert [name for name, one in SERVICES.items() if "clients" in one.get("networks", [])] == [
        "edge-1", "edge-2", "balancer", "blackbox",
    ]  # fmt: skip
    assert networks["metrics"] == {"internal": True}


def test_only_balancer_and_grafana_publish_ports() -> None:
    blocks = re.split(r"\n  (?=\w)", COMPOSE)
    published = {block.split(":")[0].strip(): ports[1] for block in blocks if (ports := re.search(_PORTS, block))}
    assert set(published) == {"balancer", "grafana"}
    assert published["grafana"].startswith('"127.0.0.1:')


def test_scrape_targets_exist() -> None:
    targets = set(re.findall(r'"([\w-]+):\d+"', (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()))
    assert targets <= set(re.findall(r"\n  ([\w-]+):\n", COMPOSE))
    assert len(targets) > 8


def test_secrets_volumes_are_writable_by_the_image_s_user() -> None:
    """A new volume inherits the owner of its mount point in the image."""
    volumes = set(re.findall(r"- [\w-]+:(/secrets/[\w-]+)\n", COMPOSE))
    (made,) = re.findall(r"install -d -o 10001 -g 10001 ((?:[^\n]*\\\n)*[^\n]*)", DOCKERFILE)
    assert "/secrets/exporters" in volumes
    assert volumes <= set(made.replace("\\\n", " ").split())


def test_exporters_are_unprivileged_and_in_the_dashboards_profile() -> None:
    for name in EXPORTERS:
        service = SERVICES[name]
        assert (service["profiles"], service["read_only"], service["user"]) == (["dashboards"], True, "10001:10001")


def test_the_host_is_only_read_and_not_by_the_user_of_dragoman() -> None:
    service = SERVICES["node-exporter"]
    assert (service["read_only"], service["networks"], service["user"]) == (True, ["metrics"], "65534:65534")
    assert all(volume.endswith(":ro") for volume in service["volumes"])
    assert service.keys().isdisjoint({"cap_add", "pid", "network_mode", "privileged"})


@pytest.fixture
def night(tmp_path: Path) -> Callable[..., tuple[int, list[str]]]:
    """A function that runs nightly.sh until it sleeps.

    It returns the number of backups that exist, and the durations of the sleeps.
    """
    (tmp_path / "backups").mkdir()
    (tmp_path / "metrics").mkdir()
    (tmp_path / "sleep").write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/slept\n[ "$1" = 600 ]\n')
    (tmp_path / "sleep").chmod(0o755)
    script = (ROOT / "deploy" / "compose" / "nightly.sh").read_text()
    script = script.replace("/scripts/", f"{tmp_path}/").replace("find /backups", f"find {tmp_path}/backups")

    def run(backup: str, at: str = "03:17") -> tuple[int, list[str]]:
        (tmp_path / "backup.sh").write_text(f"cd {tmp_path}/backups; {backup}")
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "AT": at, "METRICS": str(tmp_path / "metrics")}
        subprocess.run(["/bin/sh", "-c", script], env=environment, check=False, capture_output=True, timeout=60)
        slept = tmp_path / "slept"
        lines = slept.read_text().split() if slept.exists() else []
        slept.unlink(missing_ok=True)
        return len(list((tmp_path / "backups").iterdir())), lines

    return run


def test_a_backup_is_made_at_once_and_then_each_night(night: Callable[..., tuple[int, list[str]]]) -> None:
    made, (slept,) = night("mkdir 2026-01-01")
    assert made == 1
    assert 0 < int(slept) <= 86400
    assert night("mkdir 2026-01-02")[0] == 1  # the previous day's backup has expired
    assert night("true", at="at night") == (1, [])


def test_a_failed_backup_is_made_again_soon(night: Callable[..., tuple[int, list[str]]]) -> None:
    made, slept = night("[ -d 2026 ] || { mkdir tried 2> /dev/null && exit 1; mv tried 2026; }")
    assert (made, slept[0], len(slept)) == (1, "600", 2)


def test_the_start_of_the_schedule_is_noted_once_and_is_not_needed(
    night: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    """The time of the first start is stored, so that an alert fires even if no backup was made yet."""
    night("mkdir 2026")
    noted = tmp_path / "metrics" / "schedule.prom"
    assert re.fullmatch(r"dragoman_backup_schedule_start_seconds \d{10}\n", noted.read_text())
    noted.write_text("first")
    night("true")
    assert noted.read_text() == "first"
    noted.unlink()
    noted.parent.rmdir()
    made, slept = night("true")
    assert (made, len(slept)) == (1, 1)


@pytest.fixture
def check_of_nats(tmp_path: Path) -> Callable[[bool], tuple[int, str]]:
    """A function that runs nats_health.sh with a data directory `disk`. It returns the exit status and the output.

    Where the script would end the server, it writes "ended".
    """
    script = (ROOT / "deploy" / "compose" / "nats_health.sh").read_text()
    for path, own in (("/dev/shm/red", "red"), ("/data/", "disk/")):  # noqa: S108
        script = script.replace(path, str(tmp_path / own) + "/" * own.endswith("/"))
    script = script.replace("kill 1", "echo ended")

    def run(well: bool) -> tuple[int, str]:
        (tmp_path / "wget").write_text(f"#!/bin/sh\n{str(well).lower()}\n")
        (tmp_path / "wget").chmod(0o755)
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run(["/bin/sh", "-c", script], env=environment, check=False, capture_output=True, text=True)
        return done.returncode, done.stdout

    return run


def test_nats_is_started_again_when_its_disk_has_room_again(
    check_of_nats: Callable[[bool], tuple[int, str]], tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 2) as disk:
        assert check_of_nats(True) == (0, "")
        disk.fill()
        assert [check_of_nats(False) for _ in range(12)] == [(1, "")] * 12
        disk.free()
        assert check_of_nats(False) == (1, "ended\n")
        assert list(disk.path.iterdir()) == []


def test_nats_is_not_started_again_for_a_short_trouble_or_at_its_start(
    check_of_nats: Callable[[bool], tuple[int, str]], tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    assert [check_of_nats(False) for _ in range(12)] == [(1, "")] * 12
    for _ in range(2):
        assert check_of_nats(True) == (0, "")
        assert [check_of_nats(False) for _ in range(9)] == [(1, "")] * 9
    assert check_of_nats(False) == (1, "ended\n")


def test_nats_exporter_version_is_the_same_in_ci_and_compose() -> None:
    (built,) = re.findall(r"prometheus-nats-exporter@v(\S+)", (ROOT / ".ci" / "go").read_text())
    assert f"prometheus-nats-exporter:{built}" in COMPOSE
