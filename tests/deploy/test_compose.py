"""docker-compose.yml uses only existing settings and syntax of older Compose versions."""

import re
from pathlib import Path

from services.cli.options import variable
from services.cli.settings_table import leaves
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
_PORTS = r"\n    ports: \[(.*)\]"
ONLY_OF_THE_FILE = {"DRAGOMAN_VERSION", "DRAGOMAN_PORT", "DRAGOMAN_PUBLIC_URL", "DRAGOMAN_RATES", "DRAGOMAN_TLS_PEM"}


def test_every_variable_is_a_setting_or_the_users_choice() -> None:
    settings = {variable(name) for name, _, _ in leaves(Settings())}
    used = set(re.findall(r"\bDRAGOMAN_\w+", COMPOSE + DOCKERFILE))
    assert used - settings == ONLY_OF_THE_FILE


def test_interpolation_is_supported_by_every_compose_version() -> None:
    for expression in re.findall(r"\$\{([^}]*)\}", COMPOSE):
        assert re.fullmatch(r"[A-Z_]+(:-[^${}]*)?", expression), expression


def test_file_has_no_passwords() -> None:
    assert not re.search(r"(?i)password: *\S", COMPOSE)
    assert "PASSWORD_FILE" in COMPOSE


def test_services_are_read_only_without_privileges() -> None:
    ours = COMPOSE[COMPOSE.index("x-dragoman:") : COMPOSE.index("x-ready:")]
    for line in ("read_only: true", 'cap_drop: ["ALL"]', "no-new-privileges:true"):
        assert line in ours
    assert "USER 10001:10001" in DOCKERFILE


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
    ours = COMPOSE[COMPOSE.index("x-exporter:") : COMPOSE.index("services:\n")]
    for line in ('profiles: ["dashboards"]', "read_only: true", 'cap_drop: ["ALL"]', 'user: "10001:10001"'):
        assert line in ours
    for block in re.split(r"\n  (?=\w)", COMPOSE):
        if "_EXPORTER_IMAGE" in block or "BLACKBOX_IMAGE" in block:
            assert "<<: *exporter" in block


def test_nats_exporter_version_is_the_same_in_ci_and_compose() -> None:
    (built,) = re.findall(r"prometheus-nats-exporter@v(\S+)", (ROOT / ".ci" / "go").read_text())
    assert f"prometheus-nats-exporter:{built}" in COMPOSE
