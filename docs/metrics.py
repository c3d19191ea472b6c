"""Makes the tables of docs/reference/metrics-and-alerts.md, from the code that makes metrics and from the rules of the
alerts."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
_RULES = ROOT / "deploy" / "helm" / "dragoman" / "files" / "rules.yml"
_METRIC = re.compile(r"dragoman_[a-z_]+")


def metrics() -> str:
    rows = sorted({row for package in ("services", "shared") for row in _made_in(ROOT / package)})
    return "| metric | meaning |\n|---|---|\n" + "".join(f"| `{name}` | {text} |\n" for name, text in rows)


def _made_in(folder: Path) -> Iterator[tuple[str, str]]:
    """The names and descriptions that are arguments of a call."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(args=[ast.Constant(value=str(name)), ast.Constant(value=str(text)), *_]):
                    if _METRIC.fullmatch(name):
                        yield name, " ".join(text.split())
                case _:
                    pass


def alerts() -> str:
    groups = yaml.safe_load(_RULES.read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    return "| alert | severity | summary |\n|---|---|---|\n" + "".join(
        f"| [{one['alert']}](../runbooks/{one['alert']}.md) | {one['labels']['severity']} | {_summary(one)} |\n"
        for one in rules
    )


def _summary(rule: dict[str, dict[str, str]]) -> str:
    """The alert's summary, with … in place of the template's expressions."""
    return re.sub(r"\{\{.*?\}\}", "…", " ".join(rule["annotations"]["summary"].split()))
