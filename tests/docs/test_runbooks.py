"""Runbooks name panels that an operator can see."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


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
