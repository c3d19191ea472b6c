"""The workflows in .github call programs of the repository, and actions that are pinned, so that nobody can change
them.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.commands import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONLINT = shutil.which("actionlint", path=f"{ROOT / '.venv' / 'bin'}:/usr/local/bin:/usr/bin")
_ACTION = re.compile(r"^ *- uses: (\S+)(.*)$", re.MULTILINE)
_SCRIPT = re.compile(r'(?:sudo env "PATH=\$PATH" )?(?:\.venv/bin/python -m )?(\S+)')


def steps(file: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(file.read_text())["jobs"].values()
    return [step for job in jobs for step in job.get("steps", [])]


@pytest.mark.skipif(ACTIONLINT is None, reason="there is no actionlint: .ci/go actionlint")
def test_actionlint_finds_nothing() -> None:
    assert ACTIONLINT is not None
    done = subprocess.run([ACTIONLINT, *FILES], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_step_calls_what_is_in_the_repository(file: Path) -> None:
    commands = [step["run"] for step in steps(file) if "run" in step]
    assert commands
    for command in commands:
        assert "\n" not in command
        found = _SCRIPT.match(command)
        assert found is not None
        script = ROOT / (f"{found[1].replace('.', '/')}.py" if "python -m" in command else found[1])
        assert script.is_file(), command


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_action_is_named_by_its_commit(file: Path) -> None:
    for action, comment in _ACTION.findall(file.read_text()):
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action
