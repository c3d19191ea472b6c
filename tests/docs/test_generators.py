"""Runs the commands that write generated files, as the pages print them, in a copy of the sources."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.manifests import needs_renderer
from tests.support.commands import ROOT

_CHANGED = ("deploy", "docs")
_READ = ("services", "local", "shared", "pyproject.toml")
WRITTEN = {
    "deploy.grafana.generate": "deploy/grafana/dashboards/edge.json",
    "local.settings_table": "docs/reference/settings.md",
}
"""For each command, a file that it writes."""


@needs_renderer
@pytest.mark.parametrize("module", WRITTEN)
def test_a_changed_file_is_written_anew(module: str, tmp_path: Path) -> None:
    for name in _CHANGED:
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in _READ:
        (tmp_path / name).symlink_to(ROOT / name)
    file = tmp_path / WRITTEN[module]
    wanted = file.read_text()
    port = "| `edge.port` | `8080` |"
    assert file.suffix != ".md" or port in wanted
    file.write_text(wanted.replace(port, "| `edge.port` | `1` |") if file.suffix == ".md" else "")
    command = [sys.executable, "-m", module]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
    assert file.read_text() == wanted
