"""The sample dialect keeps the import rules that hold for modules of services/edge/dialects."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[5]
SAMPLE = Path(__file__).with_name("sample_dialect.py")
PACKAGES = ("dragoman", "bench", "services", "local", "shared", "dragoman_client")
MODULE = Path("services/edge/dialects/sample_irc.py")
FORBIDDEN = ("services.edge.dialects.pipe", "services.edge.dialects.registry", "services.edge.client.client", "time")


def lint(directory: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True)


def test_import_rules_hold_for_a_new_dialect(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(SAMPLE, tmp_path / MODULE)
    passed = lint(tmp_path)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    with (tmp_path / MODULE).open("a") as sample:
        sample.writelines(f"import {module}\n" for module in FORBIDDEN)
    failed = lint(tmp_path)
    assert failed.returncode == 1
    assert [module for module in FORBIDDEN if f"sample_irc -> {module} (" not in failed.stdout] == []
