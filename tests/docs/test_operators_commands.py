"""What runs each command of the operators' pages: a trial as it is printed there, another trial, a test, or a hand.

Dragoman's own commands are run by `tests/system/test_page_commands.py`.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
COMPOSE, CLUSTER = "deploy/compose/page_trial.sh", "deploy/k8s/page_trial.sh"
SYSTEMD = "deploy/systemd/trial.sh"
SECRETS, RELEASE = "tests/deploy/test_secrets.py", "tests/deploy/test_release.py"
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
    """A file that shows that it runs the command: `text` is in it; by default, what the command begins with."""

    file: str
    text: str = ""


ELSEWHERE = {
    "./dev admin": RunBy("tests/docs/test_commands.py", 'program == "dragoman"'),
    "./dev drill move": RunBy("tests/drills/test_move.py", 'drill("move"'),
    "./dev drill scale": RunBy("tests/drills/test_scale.py", 'drill("scale"'),
    "./dev load": RunBy("tests/docs/test_commands.py", '"load"'),
    "./dev up": RunBy("tests/deploy/test_environment.py", 'str(checkout / "dev")'),
    "./dev wheels --pure": RunBy(SYSTEMD),
    "python3 -m venv ~/dragoman": RunBy(SYSTEMD, "page Install"),
    "python3 -m venv /opt/dragoman": RunBy("Dockerfile"),
    "/opt/dragoman/bin/pip install --require-hashes": RunBy(
        "Dockerfile", "--require-hashes --no-deps -r deploy/image/run.lock"
    ),
    "HATCH_BUILD_HOOK_ENABLE_MYPYC=true": RunBy("Dockerfile", "HATCH_BUILD_HOOK_ENABLE_MYPYC"),
    "/opt/dragoman/bin/dragoman up": RunBy("tests/system/test_readme.py", '"up"'),
    "docker build -t dragoman": RunBy("deploy/compose/trial.sh", "docker build"),
    "docker run --rm -it": RunBy(COMPOSE, 'printed_commands.sh "Installing it" 2'),
    "docker exec -it": RunBy(COMPOSE, 'printed_commands.sh "Installing it" 2'),
    "docker run --rm dragoman:0.1.0 --version": RunBy(COMPOSE),
    "docker compose up --build": RunBy("deploy/compose/trial.sh", "$compose up -d"),
    "docker compose --profile backup up -d": RunBy(COMPOSE, "--profile backup up -d"),
    "docker compose --profile dashboards up": RunBy("deploy/compose/trial.sh", "--profile dashboards up -d"),
    "docker compose run --rm operator admin": RunBy(COMPOSE, "operator admin"),
    "docker compose run --rm secrets admin keys": RunBy(COMPOSE, "secrets admin keys"),
    "deploy/compose/trial.sh": RunBy("tests/deploy/test_compose_trial.py"),
    "kubectl apply --server-side": RunBy("deploy/k8s/trial.sh"),
    "deploy/k8s/secrets.sh dragoman": RunBy("deploy/k8s/trial.sh"),
    "secrets.sh NAMESPACE DIR --edges either": RunBy("tests/unit/services/cli/test_secrets.py", "--edges either"),
    "deploy/k8s/upgrade.sh deploy/k8s/overlays/dev": RunBy("deploy/k8s/trial.sh", 'deploy/k8s/upgrade.sh "$overlay"'),
    "deploy/k8s/upgrade.sh --back": RunBy("tests/deploy/cluster_trial.py", '"--back"'),
    "kubectl -n dragoman exec deploy/auth": RunBy(CLUSTER, "kubectl -n dragoman exec deploy/"),
    "kubectl -n dragoman port-forward": RunBy(CLUSTER),
    "kubectl --namespace dragoman delete statefulset": RunBy("tests/deploy/test_upgrade.py"),
    "deploy/k8s/trial.sh": RunBy("tests/deploy/test_cluster_trial.py", '"trial.sh"'),
    "deploy/k8s/secrets.sh dragoman ~/dragoman-secrets --nats": RunBy(SECRETS, '"With Helm", "1"'),
    "secrets.sh dragoman DIR --nats": RunBy(SECRETS, '"With Helm", "1"'),
    "kubectl create secret tls": RunBy(RELEASE, '"create", "secret", "tls"'),
    "helm install": RunBy(RELEASE, 'helm("upgrade --install"'),
    "helm upgrade": RunBy(RELEASE, 'helm("upgrade --install"'),
    "helm test": RunBy(RELEASE, 'helm("test")'),
    "helm rollback": RunBy("deploy/helm/upgrade.sh", "h rollback"),
    "helm uninstall": RunBy(RELEASE, 'helm("uninstall")'),
    "deploy/helm/upgrade.sh": RunBy(RELEASE, "run(UPGRADE"),
    "kubectl -n dragoman get deployments": RunBy(RELEASE, "as_printed(2)"),
    "kubectl -n dragoman delete secrets": RunBy(RELEASE, "delete secrets"),
    "python -m deploy.grafana.generate": RunBy("tests/deploy/test_dashboards.py", "from deploy.grafana.generate"),
    "python -m deploy.helm.generate": RunBy("tests/deploy/test_helm.py", "from deploy.helm.generate"),
    "python -m services.cli.settings_table": RunBy("tests/house/test_house.py", "from services.cli.settings_table"),
    "printf '/login": RunBy(CLUSTER, "| dragoman client"),
    "(printf": RunBy(CLUSTER, "| dragoman client"),
    "curl --data-binary": RunBy("tests/system/test_media.py", 'r"^curl '),
    "journalctl --unit dragoman": RunBy(SYSTEMD, "journalctl --no-pager --unit dragoman"),
}
"""By what a command begins with."""
BY_HAND = {
    "pipx install": "it needs an index of packages",
    "uvx --from": "it needs an index of packages",
    "docker run --rm -p 127.0.0.1:4318:4318": "Jaeger's image; tests/system/test_tracing.py has a collector",
    "deploy/k8s/page_trial.sh": "it is a trial",
    "kubectl apply --server-side -k deploy/k8s/overlays/external-secrets": "it needs the operator's CRDs",
    "kubectl -n dragoman get pods": "it is for a pod that does not start",
    "kubectl -n dragoman describe pod": "it is for a pod that does not start",
    "kubectl -n dragoman logs nats-2 --previous": "it is for a pod that does not start",
    "python -m tests.drills.floods": "its figures need an idle machine",
    "systemctl edit dragoman": "it opens an editor",
}
"""Why no test and no trial runs a command."""


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
    """Blocks of commands, by section and number, that trials read from the pages."""
    blocks = {(section, int(number)) for file in (COMPOSE, CLUSTER)
              for section, number in re.findall(r'printed "([^"]+)" (\d)', (ROOT / file).read_text())}  # fmt: skip
    sections = re.findall(r"^page (\w+)", (ROOT / SYSTEMD).read_text(), re.MULTILINE)
    return blocks | {(one.section, one.block) for one in commands(PAGES[1]) if one.block and one.section in sections}


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


def test_trials_name_blocks_that_the_pages_have() -> None:
    blocks = run_as_printed()
    assert len(blocks) > 8
    assert blocks - {(one.section, one.block) for page in PAGES for one in commands(page)} == set()


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


@pytest.mark.parametrize("listed", ELSEWHERE)
def test_the_place_shows_that_it_runs_the_command(listed: str) -> None:
    place = ELSEWHERE[listed]
    assert (place.text or listed) in (ROOT / place.file).read_text()


def test_a_command_that_nothing_runs_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Flying\n\n```sh\nkubectl fly \\\n  --high    # not yet\n```\n\nOr `docker fly away`, and `fly`.\n"
    )
    found = list(commands(page))
    assert found == [Command("Flying", 1, "kubectl fly --high"), Command("Flying", 0, "docker fly away")]
    assert [beginning(one.text) for one in found] == ["", ""]
