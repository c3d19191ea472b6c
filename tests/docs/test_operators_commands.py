"""Each command on the operators' pages is tested. Either a script or test reads it from the page, or another test runs
it, or it is tested by hand.

`tests/system/test_page_commands.py` runs Dragoman's own commands.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docs.executed_code import shell_commands

ROOT = Path(__file__).parents[2]
COMPOSE, CLUSTER = "deploy/compose/page_commands.sh", "deploy/k8s/page_commands.sh"
COMPOSE_TEST = "deploy/compose/end_to_end.sh"
SYSTEMD, INSTALL = "deploy/systemd/end_to_end.sh", "deploy/install_test.sh"
ENVIRONMENT = "tests/deploy/test_environment.py::test_half_an_environment_is_made_anew"
CERTIFICATE = "tests/deploy/test_release.py::test_a_certificate_of_one_s_own_is_found"
ON_API_SERVER = "tests/deploy/test_printed_commands.py"
BESIDE = f"{ON_API_SERVER}::test_what_is_applied_beside_the_chart_is_accepted"
PAGES = sorted((ROOT / "docs" / "operate").glob("*.md"))
ONE_SERVER = ROOT / "docs" / "operate" / "one-server.md"
_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
_OF_A_SHELL = re.compile(
    r"(?:\./dev|python|python3|docker|kubectl|helm|pipx|uvx|curl|systemctl|journalctl|\(printf"
    r"|(?:deploy/\S+/)?(?:secrets|upgrade|end_to_end|page_commands)\.sh) \S"
)


class Command(NamedTuple):
    """A command on a page.

    `block` is the number of its block in its section, or 0 if the command is part of the text.
    """

    section: str
    block: int
    text: str


AS_PRINTED = {
    ("Installing it", 2): COMPOSE,
    ("With Kubernetes", 1): f"{ON_API_SERVER}::test_it_is_installed_upgraded_and_taken_back",
    ("With Kubernetes", 2): f"{ON_API_SERVER}::test_it_is_installed_upgraded_and_taken_back",
    ("With Kubernetes", 3): f"{ON_API_SERVER}::test_the_chart_is_installed_and_tested",
}
"""Blocks that tests read from the page, as FILE::TEST or as a script.

Blocks that a script reads by its function `printed` are not listed.
"""
ELSEWHERE = {
    "./dev up": ENVIRONMENT,
    "./dev setup": ENVIRONMENT,
    "./dev drill scale": "tests/drills/test_scale.py::test_no_message_is_lost_while_processes_are_replaced",
    "./dev wheels --pure": INSTALL,
    "docker compose up --build": COMPOSE_TEST,
    "docker compose --profile backup up -d": COMPOSE,
    "docker compose --profile dashboards up": COMPOSE_TEST,
    "docker compose run --rm operator admin": COMPOSE,
    "docker compose run --rm secrets admin keys": COMPOSE,
    "kubectl -n dragoman exec deploy/auth": CLUSTER,
    "kubectl -n dragoman port-forward svc/nats": CLUSTER,
    "kubectl -n dragoman port-forward service/dashboard": CLUSTER,
    "kubectl create secret tls": CERTIFICATE,
    "kubectl label namespace ingress-nginx dragoman/ingress=true": BESIDE,
    "kubectl apply --server-side -n monitoring -k deploy/grafana": BESIDE,
    "kubectl apply --server-side -n dragoman -f deploy/k8s/servers/exporters.yaml": BESIDE,
    "kubectl apply --server-side -n dragoman -f deploy/k8s/servers/backups.yaml": BESIDE,
    "kubectl -n dragoman rollout restart statefulset": BESIDE,
    "kubectl apply --server-side -n dragoman -f deploy/k8s/external-secrets.yaml": (
        f"{ON_API_SERVER}::test_external_secrets_are_accepted"
    ),
    "helm template": "tests/deploy/test_chart_checks.py::test_without_a_cluster_its_extensions_are_not_looked_for",
    "helm rollback": "tests/deploy/test_release.py::test_helm_goes_back_by_itself_too",
    "helm upgrade": "tests/deploy/test_release.py::test_helm_goes_back_by_itself_too",
    "upgrade.sh NAMESPACE RELEASE": (
        "tests/deploy/test_release.py::test_an_upgrade_replaces_one_service_after_the_other"
    ),
    "journalctl --unit dragoman --follow": SYSTEMD,
    "systemctl edit": SYSTEMD,
}
"""For the beginning of a command, the place where a test runs such commands."""
BY_HAND = {
    "psql --set ON_ERROR_STOP=1 --file deploy/citus": "tests/support/citus.py runs the file, on a machine with Citus",
    "./dev drill scale --from": "there is no release yet from which it could begin",
    "docker run --rm -p 127.0.0.1:4318:4318": "it needs Jaeger's image; tests/system/test_tracing.py has a collector",
}
"""For each command that no test runs, the reason."""


def lines(block: str) -> list[str]:
    """Yields the commands in a page's blocks, without comments."""
    joined = re.sub(r"\s*(?:\\\n|(?<=\|)\n|(?<=&&)\n)\s*", " ", block)
    return [re.sub(r"\s+#.*", "", line).strip() for line in joined.splitlines()]


def commands(page: Path) -> Iterator[Command]:
    """Yields the commands of a page: each line of a block, and each command of several words in the text once."""
    for part in re.split(r"(?=^#+ )", page.read_text(), flags=re.MULTILINE):
        section = part.partition("\n")[0].lstrip("# ")
        shells = [block for language, block in _BLOCK.findall(part) if language == "sh"]
        for number, block in enumerate(shells, 1):
            yield from (Command(section, number, line) for line in lines(block))
        for found in _INLINE.findall(_BLOCK.sub("", part)):
            if _OF_A_SHELL.match(found):
                yield Command(section, 0, found.replace("\n", " "))


def printed() -> list[Command]:
    """Yields the printed commands. Omits Dragoman's own, and those in the text that only name a command of a block."""
    found = [one for page in PAGES for one in commands(page) if not one.text.startswith("dragoman ")]
    in_blocks = [f"{one.text} " for one in found if one.block]
    return [
        one
        for one in found
        if one.block or not ("sh … " in one.text or any(f"{one.text} " in other for other in in_blocks))
    ]


def run_as_printed() -> set[tuple[str, int]]:
    """Returns the blocks of commands, by section and number, that tests read from the pages."""
    scripts = "\n".join(shell_commands((ROOT / file).read_text()) for file in (COMPOSE, CLUSTER, INSTALL))
    blocks = {(section, int(number)) for section, number in re.findall(r'(?:printed|served) "([^"]+)" (\d)', scripts)}
    sections = re.findall(r"^page (\w+)", shell_commands((ROOT / SYSTEMD).read_text()), re.MULTILINE)
    of_systemd = {(one.section, one.block) for one in commands(ONE_SERVER) if one.block and one.section in sections}
    return blocks | of_systemd | set(AS_PRINTED)


def beginning(text: str) -> str:
    """Returns the longest text under which a command is listed, or an empty string if it is not listed."""
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
        number = sum((one.section, one.block) == (section, block) for page in PAGES for one in commands(page))
        assert {line for *place, line in run if place == [section, block]} == set(range(1, number + 1))


def test_end_to_end_tests_get_the_blocks_as_they_stand_on_the_page() -> None:
    for section, number in sorted({(one.section, one.block) for page in PAGES for one in commands(page) if one.block}):
        command: list[str | Path] = [ROOT / "deploy" / "printed_commands.sh", section, str(number)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        wanted = [one.text for page in PAGES for one in commands(page) if (one.section, one.block) == (section, number)]
        assert lines(done.stdout) == wanted


def test_a_block_that_is_not_there_is_named() -> None:
    command: list[str | Path] = [ROOT / "deploy" / "printed_commands.sh", "On Kubernetes", "9"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "printed_commands.sh: there is no block 9 below On Kubernetes\n")


@pytest.mark.parametrize("place", sorted({*ELSEWHERE.values(), *AS_PRINTED.values()}))
def test_the_place_is_there(place: str) -> None:
    path, _, test = place.partition("::")
    assert f"def {test}(" in (ROOT / path).read_text() if test else (ROOT / path).exists()


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
