"""The script stand-ins.sh writes only into the directory that it creates."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FAKES = {
    "debootstrap": """
        for root; do case $root in /*) break ;; esac; done
        mkdir -p "$root/usr/local/bin" "$root/usr/bin" "$root/etc/ssl/certs" "$root/usr/lib/postgresql/15/bin"
        ln -s "$VICTIMS/program" "$root/usr/local/bin/program"
        ln -s "$VICTIMS/program" "$root/usr/local/bin/nats-server"
        ln -s "$VICTIMS/certificates" "$root/etc/ssl/certs/ca-certificates.crt"
        """,
    "id": "echo 0",
    "docker": "cat > /dev/null",
}


@pytest.fixture
def victims(tmp_path: Path) -> Path:
    """Files of the host to which symbolic links in a Debian image lead."""
    directory = tmp_path / "victims"
    directory.mkdir()
    for name in ("program", "certificates"):
        (directory / name).write_text("the host's own")
        (directory / name).chmod(0o600)
    return directory


def test_links_are_not_followed_out_of_the_tree(tmp_path: Path, victims: Path) -> None:
    for name, script in FAKES.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}")
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "VICTIMS": str(victims)}
    command: list[str | Path] = [ROOT / "deploy/compose/stand-ins.sh", "nats:2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [(file.read_text(), file.stat().st_mode & 0o777) for file in victims.iterdir()] == [
        ("the host's own", 0o600), ("the host's own", 0o600),
    ]  # fmt: skip
