"""Runbooks name panels that an operator can see, and commands of kubectl that a trial runs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

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
    """With the pod and the job of the trial."""
    named = re.sub(r"pod/NAME|(?:pod )?(?:nats|postgres)-0", '"$pod"', command)
    return named.replace("job/NAME", "job/backup-now")


def test_a_trial_runs_each_command_of_kubectl() -> None:
    printed = set(re.findall(r"`(kubectl [^`]+)`", (ROOT / "docs" / "runbooks.md").read_text()))
    assert len(printed) > 7
    assert printed >= BY_HAND
    assert {one for one in printed - BY_HAND if as_in_the_trial(one) not in TRIAL.read_text()} == set()
