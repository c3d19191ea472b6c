"""What runs each command of the operators' pages: a script or a test that reads it from there, a line of a script or a
call of a test, or a hand.

Dragoman's own commands are run by `tests/system/test_page_commands.py`.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docs.executed_code import reached_calls, run_by, shell_commands

ROOT = Path(__file__).parents[2]
COMPOSE, CLUSTER = "deploy/compose/page_trial.sh", "deploy/k8s/page_trial.sh"
COMPOSE_TRIAL, CLUSTER_TRIAL = "deploy/compose/trial.sh", "deploy/k8s/trial.sh"
SYSTEMD, INSTALL = "deploy/systemd/trial.sh", "deploy/install_trial.sh"
ENVIRONMENT = "tests/deploy/test_environment.py::test_its_commands_are_those_of_dragoman"
CERTIFICATE = "tests/deploy/test_release.py::test_a_certificate_of_one_s_own_is_found"
GENERATORS = "tests/docs/test_generators.py::test_a_changed_file_is_written_anew"
ON_API_SERVER = "tests/deploy/test_printed_commands.py"
BESIDE = f"{ON_API_SERVER}::test_what_is_applied_beside_the_chart_is_accepted"
PAGES = [ROOT / "docs" / "operations.md", ROOT / "docs" / "one-server.md"]
_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
_OF_A_SHELL = re.compile(
    r"(?:\./dev|python|python3|docker|kubectl|helm|pipx|uvx|curl|systemctl|journalctl|\(printf"
    r"|(?:deploy/\S+/)?(?:secrets|upgrade|trial|page_trial)\.sh) \S"
)


class Command(NamedTuple):
    """`block`: its number among those of its section; 0: it stands in the text."""

    section: str
    block: int
    text: str


class RunBy(NamedTuple):
    """`code` is a part of a command of the script `place`, or of a call that the test `place` (FILE::TEST) reaches."""

    place: str
    code: str


AS_PRINTED = {
    ("Installing it", 2): RunBy(COMPOSE, 'printed_commands.sh "Installing it" 2'),
    ("With Kubernetes", 1): RunBy(
        f"{ON_API_SERVER}::test_it_is_installed_upgraded_and_taken_back", 'reader.type("With Kubernetes", 1)'
    ),
    ("With Kubernetes", 2): RunBy(
        f"{ON_API_SERVER}::test_the_chart_is_installed_and_tested", 'reader.type( "With Kubernetes", 2,'
    ),
    ("Images and files", 1): RunBy(
        "tests/system/test_media.py::test_the_page_s_command_stores_a_file", 'found[0].replace("127.0.0.1:8080"'
    ),
}
"""Blocks that are read from the page, beside those that scripts read by `printed`."""
ELSEWHERE = {
    "./dev admin": RunBy(ENVIRONMENT, 'dev(checkout, "admin", "user", "find", "ann")'),
    "./dev load": RunBy(ENVIRONMENT, 'dev(checkout, "load", "pairs")'),
    "./dev up": RunBy(ENVIRONMENT, 'dev(checkout, "up", "--help")'),
    "./dev drill scale": RunBy(
        "tests/drills/test_scale.py::test_no_message_is_lost_while_processes_are_replaced", 'drill("scale", tmp_path,'
    ),
    "./dev wheels --pure": RunBy(INSTALL, "./dev wheels --pure"),
    "docker run --rm dragoman:0.1.0 --version": RunBy(COMPOSE, "docker run --rm dragoman:0.1.0 --version"),
    "docker compose up --build": RunBy(COMPOSE_TRIAL, "$compose up -d"),
    "docker compose --profile backup up -d": RunBy(COMPOSE, "$compose --profile backup up -d"),
    "docker compose --profile dashboards up": RunBy(COMPOSE_TRIAL, "$compose --profile dashboards up -d $watching"),
    "docker compose run --rm operator admin": RunBy(COMPOSE, "$compose run --rm -T operator admin user find ann"),
    "docker compose run --rm secrets admin keys": RunBy(COMPOSE, "$compose run --rm -T secrets admin keys list"),
    "secrets.sh NAMESPACE DIR --edges either": RunBy(
        "tests/deploy/test_secrets.py::test_edges_change_their_user_by_secrets_sh", "subprocess.run(command, env="
    ),
    "kubectl -n dragoman exec deploy/auth": RunBy(
        CLUSTER, "kubectl -n dragoman exec deploy/$name -- dragoman doctor $name --config /secrets/dragoman.toml"
    ),
    "kubectl -n dragoman port-forward svc/nats": RunBy(CLUSTER, "kubectl -n dragoman port-forward svc/nats 4222"),
    "kubectl -n dragoman port-forward service/dashboard": RunBy(
        CLUSTER, "kubectl -n dragoman port-forward service/dashboard 8090"
    ),
    "kubectl create secret tls": RunBy(CERTIFICATE, '"create", "secret", "tls", "chat-tls"'),
    "kubectl apply --server-side -n monitoring -k deploy/grafana": RunBy(BESIDE, "installed.run(*command.split())"),
    "kubectl apply --server-side -n dragoman -f deploy/k8s/servers/exporters.yaml": RunBy(
        BESIDE, "installed.run(*command.split())"
    ),
    "kubectl -n dragoman rollout restart statefulset": RunBy(BESIDE, "installed.run(*command.split())"),
    "kubectl apply --server-side -n dragoman -f deploy/k8s/external-secrets.yaml": RunBy(
        f"{ON_API_SERVER}::test_external_secrets_are_accepted", 'installed.run("sh", "-euc", command)'
    ),
    "helm template": RunBy(
        "tests/deploy/test_chart_checks.py::test_without_a_cluster_its_extensions_are_not_looked_for",
        '[HELM, "template", "dragoman", str(CHART)',
    ),
    "helm rollback": RunBy(
        "tests/deploy/test_release.py::test_helm_goes_back_by_itself_too", 'release.helm("rollback", "--wait")'
    ),
    "helm upgrade": RunBy(
        "tests/deploy/test_release.py::test_helm_goes_back_by_itself_too", 'release.helm("upgrade", CHART,'
    ),
    "upgrade.sh NAMESPACE RELEASE": RunBy(
        "tests/deploy/test_release.py::test_an_upgrade_replaces_one_service_after_the_other",
        'release.run(UPGRADE, "chat", "dragoman", *options)',
    ),
    "python -m deploy.grafana.generate": RunBy(GENERATORS, '[sys.executable, "-m", module]'),
    "python -m local.settings_table": RunBy(GENERATORS, '[sys.executable, "-m", module]'),
    "printf '/login": RunBy(CLUSTER, 'echo "$1" | dragoman client'),
    "(printf": RunBy(COMPOSE, "sleep 2; done; } | .venv/bin/dragoman client"),
    "journalctl --unit dragoman --follow": RunBy(SYSTEMD, "journalctl --unit dragoman --follow --no-tail"),
    "systemctl edit": RunBy(SYSTEMD, 'systemctl edit dragoman" /dev/null'),
}
"""By what a command begins with."""
BY_HAND = {
    "./dev drill scale --from": "there is no release yet from which it could begin",
    "docker run --rm -p 127.0.0.1:4318:4318": "it needs Jaeger's image; tests/system/test_tracing.py has a collector",
    "python -m tests.drills.floods": "its figures need an idle machine",
    COMPOSE_TRIAL: "a trial itself, which needs a Docker daemon: the page has its results",
    CLUSTER_TRIAL: "a trial itself, which needs a cluster: the page has its results",
    CLUSTER: "a trial itself, which needs a cluster: the page has its results",
}
"""Why neither a test nor a trial runs a command."""


def lines(block: str) -> list[str]:
    """One for each command, without comments."""
    joined = re.sub(r"\s*(?:\\\n|(?<=\|)\n|(?<=&&)\n)\s*", " ", block)
    return [re.sub(r"\s+#.*", "", line) for line in joined.splitlines()]


def commands(page: Path) -> Iterator[Command]:
    """Those in blocks, one a line, and those of several words within the text, once."""
    for part in re.split(r"(?=^#+ )", page.read_text(), flags=re.MULTILINE):
        section = part.partition("\n")[0].lstrip("# ")
        shells = [block for language, block in _BLOCK.findall(part) if language == "sh"]
        for number, block in enumerate(shells, 1):
            yield from (Command(section, number, line) for line in lines(block))
        for found in _INLINE.findall(_BLOCK.sub("", part)):
            if _OF_A_SHELL.match(found):
                yield Command(section, 0, found.replace("\n", " "))


def printed() -> list[Command]:
    """Without Dragoman's own, and without what only names one of a block: its beginning, or some of its options."""
    found = [one for page in PAGES for one in commands(page) if not one.text.startswith("dragoman ")]
    in_blocks = [f"{one.text} " for one in found if one.block]
    return [
        one
        for one in found
        if one.block or not ("sh … " in one.text or any(f"{one.text} " in other for other in in_blocks))
    ]


def run_as_printed() -> set[tuple[str, int]]:
    """Blocks of commands, by section and number, that trials and tests read from the pages."""
    scripts = "\n".join(shell_commands((ROOT / file).read_text()) for file in (COMPOSE, CLUSTER, INSTALL))
    blocks = {(section, int(number)) for section, number in re.findall(r'(?:printed|served) "([^"]+)" (\d)', scripts)}
    sections = re.findall(r"^page (\w+)", shell_commands((ROOT / SYSTEMD).read_text()), re.MULTILINE)
    of_systemd = {(one.section, one.block) for one in commands(PAGES[1]) if one.block and one.section in sections}
    return blocks | of_systemd | set(AS_PRINTED)


def beginning(text: str) -> str:
    """The longest that a command is listed by; empty: it is not listed."""
    return max((one for one in (*ELSEWHERE, *BY_HAND) if f"{text} ".startswith(one)), key=len, default="")


def test_something_runs_each_command() -> None:
    blocks = run_as_printed()
    assert [one for one in printed() if (one.section, one.block) not in blocks and not beginning(one.text)] == []


def test_nothing_is_listed_that_the_pages_do_not_print() -> None:
    blocks = run_as_printed()
    used = {beginning(one.text) for one in printed() if (one.section, one.block) not in blocks}
    assert {*ELSEWHERE, *BY_HAND} - used == set()


def test_what_is_read_from_the_pages_stands_there() -> None:
    blocks = run_as_printed()
    assert len(blocks) > 12
    assert blocks - {(one.section, one.block) for page in PAGES for one in commands(page)} == set()


def test_each_line_of_a_block_that_is_run_line_by_line_is_run() -> None:
    script = shell_commands((ROOT / INSTALL).read_text())
    run = {(section, int(block), int(line))
           for section, block, line in re.findall(r'(?:printed|served) "([^"]+)" (\d) (\d)', script)}  # fmt: skip
    for section, block in {(section, block) for section, block, _ in run}:
        number = sum((one.section, one.block) == (section, block) for one in commands(PAGES[0]))
        assert {line for *place, line in run if place == [section, block]} == set(range(1, number + 1))


def test_trials_get_the_blocks_as_they_stand_on_the_page() -> None:
    for section, number in sorted({(one.section, one.block) for one in commands(PAGES[0]) if one.block}):
        command: list[str | Path] = [ROOT / "deploy" / "printed_commands.sh", section, str(number)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        wanted = [one.text for one in commands(PAGES[0]) if (one.section, one.block) == (section, number)]
        assert lines(done.stdout) == wanted


def test_a_block_that_is_not_there_is_named() -> None:
    command: list[str | Path] = [ROOT / "deploy" / "printed_commands.sh", "On Kubernetes", "9"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "printed_commands.sh: there is no block 9 below On Kubernetes\n")


@pytest.mark.parametrize("listed", [*ELSEWHERE, *AS_PRINTED], ids=str)
def test_the_place_runs_the_command(listed: str | tuple[str, int]) -> None:
    place, code = AS_PRINTED[listed] if isinstance(listed, tuple) else ELSEWHERE[listed]
    assert code in run_by(ROOT, place)


def test_a_command_that_nothing_runs_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Flying\n\n```sh\nkubectl fly \\\n  --high    # not yet\n```\n\nOr `docker fly away`, and `fly`.\n"
    )
    found = list(commands(page))
    assert found == [Command("Flying", 1, "kubectl fly --high"), Command("Flying", 0, "docker fly away")]
    assert [beginning(one.text) for one in found] == ["", ""]


def test_comments_and_messages_of_a_script_run_nothing() -> None:
    script = """\
# kubectl fly
say "kubectl fly"
kubectl get pods \\
    --output name # kubectl fly
[ -d there ] || fail "kubectl fly"
echo /login | dragoman client
"""
    assert shell_commands(script).splitlines() == [
        "kubectl get pods --output name", "[ -d there ]", "echo /login | dragoman client",
    ]  # fmt: skip


def test_only_calls_that_a_test_reaches_run_something() -> None:
    module = '''\
"""helm fly"""

class Release:
    def __init__(self) -> None:
        run("helm", "install")

@fixture
def release():
    return Release()

def unused():
    run("helm", "fly")

def test_release(release):
    """helm fly"""  # helm fly
    command = ["helm", "test"]
    run(command)
    assert run("helm", "list") == ["helm", "fly"]
    assert "helm fly".startswith("helm")

def test_other():
    unused()
'''
    found = reached_calls(module, "test_release").splitlines()
    assert found == [
        'command = ["helm", "test"]', "run(command)", 'run("helm", "list")', "Release()", 'run("helm", "install")',
    ]  # fmt: skip
    with pytest.raises(LookupError):
        reached_calls(module, "test_absent")
