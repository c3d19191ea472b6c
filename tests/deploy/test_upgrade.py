"""Tests deploy/k8s/upgrade.sh, its order of calls and its rollback. Fake programs record the calls."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.deploy.manifests import K8S

HISTORY = """\
- chart: dragoman-0.1.0
  revision: 3
  status: deployed
- chart: dragoman-0.1.0
  revision: 4
  status: failed
"""
HELM = f"""\
echo "helm $1 $2 $(echo "$*" | grep -o -- '--dry-run=server\\| [0-9]* --namespace')" >> "$FAKE/commands"
case $1 in history) echo '{HISTORY}' ;; esac
[ ! -e "$FAKE/$1-fails" ] || [ "$*" != "${{*#*--dry-run}}" ]
"""
KUBECTL = """\
case "$*" in
    *"get deployments"*) echo message session auth edge ;;
    *"patch deployment"*) echo "paused $5 $7" >> "$FAKE/commands" ;;
    *"rollout status"*)
        echo "await $5" >> "$FAKE/commands"
        [ "$(cat "$FAKE/unready" 2> /dev/null)" != "$5" ] || { rm "$FAKE/unready"; exit 1; } ;;
esac
"""
PAUSED = [f"paused {one} spec: {{paused: true}}" for one in ("message", "session", "auth", "edge")]


class FakeRelease:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name, script in (("helm", HELM), ("kubectl", KUBECTL)):
            (directory / name).write_text(f"#!/bin/sh\n{script}")
            (directory / name).chmod(0o755)

    def upgrade(self, *arguments: str) -> tuple[int, str, list[str]]:
        """Runs the upgrade. Returns the status, the errors, and the recorded calls."""
        environment = {"PATH": f"{self.directory}:{os.environ['PATH']}", "FAKE": str(self.directory)}
        command: list[str | Path] = [K8S / "upgrade.sh", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        commands = (self.directory / "commands").read_text().splitlines()
        return done.returncode, done.stderr, [one.strip() for one in commands]


def resumed(*services: str) -> list[str]:
    return [step for one in services for step in (f"paused {one} spec: {{paused: false}}", f"await deployment/{one}")]


@pytest.fixture
def release(tmp_path: Path) -> FakeRelease:
    return FakeRelease(tmp_path)


BEGIN = ["helm history dragoman", "helm upgrade dragoman --dry-run=server"]


def test_each_service_goes_on_when_the_one_before_is_ready(release: FakeRelease) -> None:
    status, errors, done = release.upgrade("chat", "dragoman", "--set", "image.tag=0.2.0")
    assert (status, errors) == (0, "")
    assert done == [*BEGIN, *PAUSED, "helm upgrade dragoman", *resumed("message", "session", "auth", "edge")]


def test_one_that_is_not_ready_takes_the_release_back(release: FakeRelease) -> None:
    (release.directory / "unready").write_text("deployment/session")
    status, errors, done = release.upgrade("chat", "dragoman")
    assert (status, "went back to revision 3" in errors) == (1, True)
    forth = [*PAUSED, "helm upgrade dragoman", *resumed("message", "session")]
    back = [*PAUSED, "helm rollback dragoman  3 --namespace", *resumed("edge", "auth", "session", "message")]
    assert done == [*BEGIN, *forth, *back]


def test_a_failed_migration_replaces_nothing(release: FakeRelease) -> None:
    (release.directory / "upgrade-fails").touch()
    status, errors, done = release.upgrade("chat", "dragoman")
    assert (status, "no service was replaced" in errors) == (1, True)
    assert done[-9] == "helm rollback dragoman  3 --namespace"


def test_the_way_back_is_to_the_revision_before_unless_another_is_given(release: FakeRelease) -> None:
    status, _, done = release.upgrade("--back", "chat", "dragoman")
    assert status == 0
    back = resumed("edge", "auth", "session", "message")
    assert done == [*PAUSED, "helm rollback dragoman  0 --namespace", *back]
    status, _, done = release.upgrade("--back", "chat", "dragoman", "2")
    assert (status, "helm rollback dragoman  2 --namespace" in done) == (0, True)


@pytest.mark.parametrize("script", ["compose/upgrade.sh", "k8s/upgrade.sh", "k8s/secrets.sh"])
def test_help_only_helps(script: str) -> None:
    """`--help` works also after other arguments, which the script would pass on to Helm or to `dragoman secrets`."""
    command: list[str | Path] = [K8S.parent / script, "chat", "dragoman", "--help"]
    done = subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    assert (done.returncode, "Usage: " in done.stdout, done.stderr) == (0, True, "")
