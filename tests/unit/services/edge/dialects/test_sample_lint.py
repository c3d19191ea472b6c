"""The sample dialect passes the linters and import rules as a module of services/edge/dialects."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[5]
SAMPLE = Path(__file__).with_name("sample_dialect.py")
PACKAGES = ("dragoman", "bench", "services", "local", "shared", "clients")
BINARIES = Path(sys.executable).parent
MODULE = Path("services/edge/dialects/sample_irc.py")
LINTERS = {
    "ruff": ["ruff", "check", str(MODULE)],
    "format": ["ruff", "format", "--check", str(MODULE)],
    "mypy": ["mypy", "--cache-dir", "mypy-cache", str(MODULE)],
    "imports": ["lint-imports", "--no-cache"],
}
FORBIDDEN = (
    "services.edge.dialects.pipe",
    "services.edge.dialects.registry",
    "services.edge.client.client",
    "time",
)


def tree(directory: Path, appended: str = "") -> Path:
    """A copy of the code in which the sample is a dialect like the others."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, directory / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", directory)
    (directory / MODULE).write_text(SAMPLE.read_text(encoding="utf-8") + appended, encoding="utf-8")
    return directory


def lint(name: str, directory: Path) -> subprocess.CompletedProcess[str]:
    command, *arguments = LINTERS[name]
    return subprocess.run([BINARIES / command, *arguments], cwd=directory, capture_output=True, text=True)


def test_the_sample_passes_the_linters(tmp_path: Path) -> None:
    directory = tree(tmp_path)
    for name in LINTERS:
        done = lint(name, directory)
        assert done.returncode == 0, done.stdout + done.stderr


def test_import_rules_hold_for_a_new_dialect(tmp_path: Path) -> None:
    directory = tree(tmp_path, "".join(f"import {module}\n" for module in FORBIDDEN))
    done = lint("imports", directory)
    assert done.returncode == 1
    assert [module for module in FORBIDDEN if f"sample_irc -> {module} (" not in done.stdout] == []
