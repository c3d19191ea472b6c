"""Runbooks name panels that an operator can see, and commands of kubectl that a trial runs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from tests.docs.executed_code import shell_commands
from tests.docs.test_operators_commands import PAGES, commands, run_as_printed

ROOT = Path(__file__).parents[2]
TRIAL = ROOT / "deploy" / "k8s" / "page_trial.sh"
BY_HAND = {"kubectl describe certificate"}
"""It needs cert-manager."""


def titles(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(title := node.get("title"), str):
            yield title
        for child in node.values():
            yield from titles(child)
    elif isinstance(node, list):
        for child in node:
            yield from titles(child)


def test_every_panel_of_a_runbook_is_on_a_dashboard() -> None:
    text = " ".join((ROOT / "docs" / "runbooks.md").read_text().split())
    named = set(re.findall(r"`([A-Z][a-z][^`]*)`", text))
    shown = {
        title
        for path in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")
        for title in titles(json.loads(path.read_text()))
    }
    assert len(named) > 10
    assert named <= shown


def as_in_the_trial(command: str) -> str:
    """With the pod and the job of the trial in place of NAME; servers have their names."""
    return command.replace("pod/NAME", '"$pod"').replace("job/NAME", "job/backup-now")


def run_in_the_trial() -> str:
    """The commands of the script and of the blocks that it reads from the page."""
    script = shell_commands(TRIAL.read_text())
    blocks = run_as_printed()
    read = (one.text for one in commands(PAGES[0])
            if (one.section, one.block) in blocks and f'printed "{one.section}" {one.block}' in script)  # fmt: skip
    return "\n".join((script, *read))


def test_a_trial_runs_each_command_of_kubectl() -> None:
    printed = set(re.findall(r"`(kubectl [^`]+)`", (ROOT / "docs" / "runbooks.md").read_text()))
    assert len(printed) > 7
    assert printed >= BY_HAND
    run = run_in_the_trial()
    missing = {one for one in printed - BY_HAND
               if not re.search(re.escape(as_in_the_trial(one)) + r"(?: *[>|;)]|$)", run, re.MULTILINE)}  # fmt: skip
    assert missing == set()
