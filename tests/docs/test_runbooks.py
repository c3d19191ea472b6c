"""The runbooks name only things that exist: panels, settings, metrics, log lines, label values and commands.

An end-to-end test runs each of these commands.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import psycopg
import pytest

from deploy.grafana.generate import DASHBOARDS
from local.settings_table import leaves
from shared.settings import Settings
from tests.docs.executed_code import shell_commands
from tests.docs.test_operators_commands import PAGES, commands, run_as_printed
from tests.support.servers import PostgresServer

ROOT = Path(__file__).parents[2]
RUNBOOKS = " ".join(" ".join(page.read_text() for page in sorted((ROOT / "docs/runbooks").glob("*.md"))).split())
QUOTED = sorted(set(re.findall(r"`([^`]+)`", RUNBOOKS)))
CLUSTER, COMPOSE = ROOT / "deploy" / "k8s" / "page_commands.sh", ROOT / "deploy" / "compose" / "page_commands.sh"
BY_HAND = {
    "kubectl describe certificate": "it needs cert-manager",
    "docker image prune": "it removes images of the host",
    "docker system df -v": "it only shows",
}
"""For each command that no end-to-end test runs, the reason."""
DRAGOMANS = re.compile(r"(?:dragoman|\./dev)(?: |$)|--[a-z]+(?: DIR)?$")
"""Commands of Dragoman, which tests/docs/test_commands.py checks."""
OF_A_SYSTEM = {
    "cat", "chronyc", "curl", "df", "dmesg", "du", "fuser", "grep", "journalctl", "openssl", "promtool",
    "ps", "ss", "systemctl", "ulimit",
}  # fmt: skip
FOREIGN = {
    "0/0": "kubectl",
    "/healthz?js-enabled-only=true": "NATS",
    "/rules": "Prometheus",
    "/targets": "Prometheus",
    "InvalidSignatureError": "PyJWT",
    "OOMKilled": "Kubernetes",
    "READY": "kubectl",
    "Send-Q": "ss",
    "connection refused": "Go",
    "context deadline exceeded": "Go",
    "database is locked": "SQLite",
    "edge.*.deliver": "NATS",
    "max_connections": "PostgreSQL",
    "maxmemory-policy": "Redis",
    "no such host": "Go",
    "noeviction": "Redis",
    "pg_terminate_backend": "PostgreSQL",
    "some avg60": "Linux",
    "unreachable": "prometheus-nats-exporter",
}
"""Words of other programs, each with its program."""


def panel_titles() -> Iterator[tuple[str, bool]]:
    """Yields the title of each panel, and whether the page of a single process has this panel."""
    for dashboard in DASHBOARDS:
        for _, panels in dashboard.rows:
            yield from ((one.title, dashboard.by_instance) for one in panels)


@cache
def literals() -> str:
    files = (path for package in ("services", "local", "shared") for path in (ROOT / package).rglob("*.py"))
    return "\n".join(found for path in files for found in re.findall(r'"([^"\n]*)"', path.read_text()))


@cache
def expressions() -> str:
    """Returns all expressions of the alert rules and the dashboards."""
    queries = (path.read_text() for path in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
    rules = (ROOT / "deploy" / "helm" / "dragoman" / "files" / "rules.yml").read_text()
    return "\n".join((rules, *queries))


def is_setting(name: str) -> bool:
    section, _, rest = name.partition(".")
    return any(one == name or (rest == "*" and one.startswith(f"{section}.")) for one, _, _ in leaves(Settings()))


def is_queried(name: str) -> bool:
    """Returns whether an expression contains this metric, label or label value."""
    found = re.fullmatch(r"([a-z]+(?:[:_-][a-z0-9]+)*)(?:\{.*\}| - .*)?", name)
    return found is not None and re.search(rf"\b{found[1]}(?![\w-])", expressions()) is not None


def is_variable(name: str) -> bool:
    files = (ROOT / "docker-compose.yml", ROOT / "deploy" / "compose" / "alerts.env")
    return re.fullmatch(r"[A-Z]+(?:_[A-Z]+)+", name) is not None and any(name in file.read_text() for file in files)


def is_file(name: str) -> bool:
    return (ROOT / name).exists() or any((ROOT / "deploy" / "k8s" / place).exists() for place in (name, f"{name}/"))


def is_known(name: str) -> bool:
    program = name.partition(" ")[0]
    return (
        name in {title for title, _ in panel_titles()}
        or name in FOREIGN
        or program in OF_A_SYSTEM | {"docker", "kubectl", "SELECT"}
        or DRAGOMANS.match(name) is not None
        or any(test(name) for test in (is_setting, is_queried, is_variable, is_file))
        or name in literals()
    )


def test_what_runbooks_name_exists() -> None:
    assert [name for name in QUOTED if not is_known(name)] == []


def test_no_word_is_listed_that_no_runbook_has() -> None:
    assert {*FOREIGN, *BY_HAND} - set(QUOTED) == set()
    assert OF_A_SYSTEM - {name.partition(" ")[0] for name in QUOTED} == set()


def test_wrong_names_are_noticed() -> None:
    for name in (
        "Time to fly",
        "edge.wings",
        "flying.*",
        "dragoman_edge_wings_total",
        "DRAGOMAN_WINGS",
        "deploy/wings",
    ):
        assert not is_known(name)


def test_panels_of_grafana_alone_are_listed() -> None:
    """The runbooks list these panels, because `dragoman up` has no Grafana."""
    own = {title for title, is_own in panel_titles() if is_own}
    (listed,) = re.findall(r"Only Grafana's dashboards have (.*?)\. ", RUNBOOKS)
    named = {name for name in QUOTED if name in {title for title, _ in panel_titles()}}
    assert len(named) > 30
    assert set(re.findall(r"`([^`]+)`", listed)) == named - own


def test_each_panel_of_a_definition_is_on_a_dashboard() -> None:
    """An operator can see each panel that `panel_titles` yields."""
    shown = "\n".join(path.read_text() for path in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
    assert [title for title, _ in panel_titles() if f'"title": {json.dumps(title)}' not in shown] == []


def in_the_cluster(command: str) -> list[str]:
    """Returns the command as page_commands.sh writes it, with the script's own pod and job in place of NAME."""
    return [command.replace("pod/NAME", '"$pod"').replace("job/NAME", "job/backup-now")]


def in_compose(command: str) -> list[str]:
    """Returns the parts of the command as page_commands.sh writes them, without a terminal."""
    return [re.sub(r"(?<=docker compose )(run --rm|exec)", r"\1 -T", one) for one in command.split(" && ")]


def run_in(script: Path) -> str:
    """Returns the commands that an end-to-end test runs, including the blocks that it reads from the page."""
    text = shell_commands(script.read_text())
    blocks = run_as_printed()
    read = (part for page in PAGES for one in commands(page) for part in in_compose(one.text)
            if (one.section, one.block) in blocks and f'printed "{one.section}" {one.block}' in text)  # fmt: skip
    return "\n".join((text, *read))


@pytest.mark.parametrize(
    ("program", "script", "as_run", "least"),
    [("kubectl", CLUSTER, in_the_cluster, 12), ("docker", COMPOSE, in_compose, 15)],
)
def test_an_end_to_end_test_runs_each_command(
    program: str, script: Path, as_run: Callable[[str], list[str]], least: int
) -> None:
    printed = {name for name in QUOTED if name.startswith(f"{program} ")}
    assert len(printed) >= least
    run = run_in(script)
    missing = [part for one in printed - BY_HAND.keys() for part in as_run(one)
               if not re.search(re.escape(part) + r"(?: *\d?[<>|;)&]|$)", run, re.MULTILINE)]  # fmt: skip
    assert missing == []


@pytest.mark.xdist_group("postgresql")
def test_postgresql_runs_each_query(postgres_server: PostgresServer) -> None:
    queries = [name.replace("(PID)", "(0)") for name in QUOTED if name.startswith("SELECT ")]
    assert len(queries) == 3
    with psycopg.connect(postgres_server.url("postgres")) as connection:
        for query in queries:
            assert connection.execute(query.encode()).fetchall()
