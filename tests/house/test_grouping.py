"""Tests the scheduler for parallel tests: all tests of one group run on the same worker."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.grouping import groups_of

ROOT = Path(__file__).parents[2]


def test_groups_are_read_from_the_sources() -> None:
    assert groups_of(ROOT / "tests/system/test_administration.py").of("test_any") == "system"
    conformance = groups_of(ROOT / "tests/system/test_conformance.py")
    assert conformance.of("test_what_depends_on_the_database") == "postgresql"
    assert conformance.of("test_what_is_independent_of_the_database") == "conformance"
    assert groups_of(Path(__file__)).of("test_groups_are_read_from_the_sources") == ""


def test_the_tests_of_a_group_or_module_run_on_one_worker(tmp_path: Path) -> None:
    """On three workers, runs a group that has two modules, and a module without a group."""
    tests = "import pytest\n@pytest.mark.parametrize('n', range(6))\ndef test_it(n): pass\n"
    for name in ("one", "two"):
        (tmp_path / f"test_{name}.py").write_text(f"{tests}pytestmark = pytest.mark.xdist_group('both')\n")
    (tmp_path / "test_three.py").write_text(tests)
    (tmp_path / "conftest.py").write_text("from tests.support.grouping import pytest_xdist_make_scheduler\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    # without plugins, each worker starts sooner
    environment |= {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "xdist", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-n", "3", "--dist", "loadgroup", "-v", "."],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    ran = re.findall(r"\[(gw\d)\].* (test_\w+)\.py::", done.stdout)
    assert len(ran) == 18
    workers = [{worker for worker, module in ran if module == name} for name in ("test_one", "test_two", "test_three")]
    assert [len(used) for used in workers] == [1, 1, 1]
    assert workers[0] == workers[1] != workers[2]
