"""Tests `./dev` in a small checkout.

It makes the environment, continues after it was killed, and also works for users who do not own the checkout.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy import environment

ROOT = Path(__file__).parents[2]
PYTHON = os.path.realpath(sys.executable)
SYSTEM_PYTHON = "/usr/bin/python3"
NOBODY = 65534
SCRIPT = """
import sys

def main():
    print('runs in', sys.prefix, *(word for word in sys.argv[1:] if word != 'config'))
"""
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "dragoman"
version = "1.0"
[tool.hatch.build.targets.wheel]
packages = []
"""
BACKEND = """
import zipfile

def build_editable(directory, config_settings=None, metadata_directory=None):
    name = "dragoman-1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{directory}/{name}", "w") as wheel:
        about = "dragoman-1.0.dist-info/"
        wheel.writestr(about + "METADATA", "Metadata-Version: 2.1\\nName: dragoman\\nVersion: 1.0\\n")
        wheel.writestr(about + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(about + "entry_points.txt", "[console_scripts]\\ndragoman = alpha:main\\n")
        wheel.writestr(about + "RECORD", "")
    return name
"""


def write_wheel(directory: Path, name: str, code: str) -> str:
    """Writes a wheel, and returns its line of the lock file."""
    path, about = directory / f"{name}-1.0-py3-none-any.whl", f"{name}-1.0.dist-info/"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", code)
        wheel.writestr(about + "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(about + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(about + "RECORD", "")
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def place() -> Iterator[Path]:
    """A temporary directory that other users can read."""
    directory = Path(tempfile.mkdtemp(prefix="dragoman-dev-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def checkout(place: Path) -> Path:
    """A checkout.

    The two packages of its lock, `alpha` and `beta`, have wheels in `wheels`. Its `node` and `npm` do nothing.
    """
    made, wheels = place / "checkout", place / "wheels"
    (made / "deploy").mkdir(parents=True)
    wheels.mkdir()
    for name in ("dev", "deploy/compiled.py", "deploy/environment.py", "deploy/web_client.py"):
        shutil.copy(ROOT / name, made / name)
    programs = place / "programs"
    programs.mkdir()
    for name in ("node", "npm"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    (made / "node_modules").mkdir()
    (made / "package-lock.json").write_text("{}")
    (made / "pyproject.toml").write_text(PROJECT)
    (made / "backend.py").write_text(BACKEND)
    lock = [write_wheel(wheels, name, SCRIPT) for name in ("alpha", "beta")]
    (made / "requirements.lock").write_text("".join(lock))
    return made


def variables(checkout: Path, links: str, **more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON", "VIRTUAL"))}
    path = f"{checkout.parent / 'programs'}{os.pathsep}{os.environ['PATH']}"
    return own | {"PATH": path, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": links, "PIP_CONFIG_FILE": os.devnull, **more}


def dev(checkout: Path, *arguments: str) -> str:
    links = str(checkout.parent / "wheels")
    command = [PYTHON, str(checkout / "dev"), *arguments]
    done = subprocess.run(command, env=variables(checkout, links), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class StallingIndex(SimpleHTTPRequestHandler):
    """A package index that stalls when the wheel of `beta` is requested."""

    stalled = threading.Event()
    over = threading.Event()

    def do_GET(self) -> None:
        if "beta" in self.path:
            self.stalled.set()
            self.over.wait()
        else:
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_killed_setup_is_resumed(checkout: Path) -> None:
    handler = partial(StallingIndex, directory=str(checkout.parent / "wheels"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        links = f"http://127.0.0.1:{server.server_port}/"
        command = [PYTHON, str(checkout / "dev"), "setup"]
        with subprocess.Popen(command, env=variables(checkout, links), start_new_session=True) as killed:
            assert StallingIndex.stalled.wait(180)
            os.killpg(killed.pid, signal.SIGKILL)
        StallingIndex.over.set()
        server.shutdown()
    (packages,) = (checkout / ".venv").glob("lib/python*/site-packages")
    half = packages / "alpha-1.0.dist-info"
    half.mkdir()
    (half / "METADATA").write_text("Metadata-Version: 2.1\nName: alpha\nVersion: 1.0\n")
    made = (checkout / ".venv" / "pyvenv.cfg").stat().st_mtime_ns
    assert f"continuing to build the unfinished {checkout}/.venv" in dev(checkout, "setup")
    assert (checkout / ".venv" / "pyvenv.cfg").stat().st_mtime_ns == made
    assert dev(checkout, "config") == f"runs in {checkout}/.venv\n"
    assert not (checkout / ".venv" / "unfinished").exists()


def test_half_an_environment_is_made_anew(checkout: Path) -> None:
    (checkout / ".venv" / "lib").mkdir(parents=True)
    (checkout / ".venv" / "pyvenv.cfg").write_text("home = /nowhere\n")
    shown = dev(checkout, "setup")
    assert "installing the packages of requirements.lock: unpacking them\n" in shown, "progress without a terminal"
    assert dev(checkout, "config") == f"runs in {checkout}/.venv\n"
    (checkout / ".venv" / "bin" / "dragoman").unlink()
    assert f"making {checkout}/.venv" in dev(checkout, "setup")
    check_commands(checkout)


def check_commands(checkout: Path) -> None:
    """Checks that `./dev` passes commands on to `dragoman`."""
    runs = f"runs in {checkout}/.venv"
    assert dev(checkout, "up", "--help") == f"{runs} up --help\n"
    assert dev(checkout, "admin", "user", "find", "ann") == f"{runs} admin user find ann\n"
    assert dev(checkout, "bench", "pairs") == f"{runs} bench pairs\n"


OWN = ("test", "lint", "docs", "screens", "setup")


@pytest.mark.parametrize("command", [*OWN, "up", "wheels", "drill"])
def test_help_only_helps(checkout: Path, command: str) -> None:
    """With `--help`, a command only prints its help.

    Without it, the command would run checks, write pages, start a browser, or download packages.
    """
    shown = dev(checkout, command, "--help")
    assert shown.startswith(f"usage: ./dev {command}")
    assert ("Example: ./dev " in shown) is (command in OWN)
    assert not (checkout / ".venv").exists()
    assert command in dev(checkout, "--help")


@pytest.mark.parametrize("words", [["fly"], ["lint", "all"], ["screens", "now"], ["setup", "--fast"]])
def test_a_wrong_use_is_status_2_and_does_nothing(checkout: Path, words: list[str]) -> None:
    done = subprocess.run(
        [PYTHON, checkout / "dev", *words], env=variables(checkout, ""), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert not (checkout / ".venv").exists()


def has_ensurepip(python: str) -> bool:
    wanted = "import sys, ensurepip; sys.exit(sys.version_info < (3, 11) or not ensurepip.version())"
    return Path(python).exists() and subprocess.run([python, "-c", wanted], check=False).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
@pytest.mark.skipif(not has_ensurepip(SYSTEM_PYTHON), reason="no Python that every user may run has ensurepip")
def test_another_user_works_with_the_environment_or_gets_one_of_its_own(checkout: Path) -> None:
    home = checkout.parent / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    own = variables(checkout, str(checkout.parent / "wheels"), HOME=str(home), XDG_CACHE_HOME=str(home / "cache"))

    def run(name: str, user: int) -> str:
        command = [SYSTEM_PYTHON, str(checkout / "dev"), name]
        done = subprocess.run(
            command,
            env=own,
            cwd=home,
            user=user,
            group=user,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("setup", 0)
    shared = checkout / ".venv"
    assert run("config", NOBODY) == f"runs in {shared}\n"
    made_from = (shared / "made-from").read_text()
    with (checkout / "requirements.lock").open("a") as lock:
        lock.write("# a change\n")
    assert f"making {home}/cache/dragoman/venv-" in run("setup", NOBODY)
    assert run("config", NOBODY).startswith(f"runs in {home}/cache/dragoman/venv-")
    assert (shared / "made-from").read_text() == made_from
    os.chown(shared, NOBODY, NOBODY)
    assert str(shared) not in run("setup", 0), "root does not replace the environment of a user"


def test_progress_without_a_terminal_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = environment.InstallProgress("installing", 9)
    for count in range(9):
        now[0] += 4
        progress.show(count)
    progress.show(9, unpacking=True)
    progress.end()
    assert capsys.readouterr().out.splitlines() == [
        "dev: installing", "dev: installing (2 of 9)", "dev: installing (5 of 9)", "dev: installing (8 of 9)",
        "dev: installing: unpacking them", "dev: installing: done in 36 s",
    ]  # fmt: skip
