"""The Python environment of a checkout. This module finds it, checks whether it is current, and makes it. It uses only
the standard library.

The environment is `.venv` in the checkout. If `.venv` belongs to another user and cannot be used as it is, the
environment is in the user's own cache.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
_PROGRESS_SECONDS = 10.0


class Trouble(Exception):
    """An error that is shown to the user as one sentence."""


def _tool(directory: Path, name: str) -> Path:
    return directory / "bin" / name


def _stamp(directory: Path) -> Path:
    return directory / "made-from"


def _unfinished(directory: Path) -> Path:
    """A file that exists while packages are installed. It contains the stamp that the environment will get."""
    return directory / "unfinished"


def inputs(interpreter: str) -> str:
    """A digest of everything on which an environment depends: the lock file, the project's metadata, the interpreter,
    and the place of the checkout."""
    parts = [LOCK.read_bytes(), (ROOT / "pyproject.toml").read_bytes().split(b"[tool.")[0]]
    parts += [part.encode() for part in (os.path.realpath(interpreter), platform.machine(), str(ROOT))]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def is_usable(directory: Path) -> bool:
    """Whether the environment is complete and current, and this user may use it."""
    try:
        made_from = _stamp(directory).read_text()
    except OSError:
        return False
    python = _tool(directory, "python")
    return os.access(python, os.X_OK) and _tool(directory, "dragoman").exists() and made_from == inputs(str(python))


def place() -> Path:
    """The directory of this user's environment. It may not exist yet."""
    shared = ROOT / ".venv"
    if is_usable(shared) or _may_make(shared):
        return shared
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "dragoman" / f"venv-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]}"


def _may_make(directory: Path) -> bool:
    """Whether this user may make an environment in this directory. An environment of another user is never replaced,
    not even by root."""
    try:
        return directory.stat().st_uid == os.geteuid()
    except FileNotFoundError:
        return os.access(directory.parent, os.W_OK)
    except OSError:
        return False


VENV = place()
STAMP = _stamp(VENV)


def tool(name: str) -> str:
    return str(_tool(VENV, name))


def process_variables(directory: Path) -> dict[str, str]:
    """The variables for processes of the environment in this directory. Bytecode is kept, because each of hundreds of
    processes would otherwise compile its modules again."""
    dropped = ("PYTHONHOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    variables = {name: value for name, value in os.environ.items() if name not in dropped}
    return variables | {
        "VIRTUAL_ENV": str(directory), "PATH": f"{directory / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    }  # fmt: skip


def wanted_stamp() -> str:
    return inputs(tool("python"))


def is_current() -> bool:
    return is_usable(VENV)


def make() -> None:
    """Make the environment. If an earlier attempt was interrupted, it is continued. Raises Trouble."""
    try:
        _make()
    except OSError as error:
        raise Trouble(f"{VENV} cannot be made: {error.strerror or error} ({error.filename})") from error


def _make() -> None:
    if _is_resumable():
        show(f"continuing to build the unfinished {VENV}")
        _remove_half_installed()
    else:
        if not _has_ensurepip():
            raise Trouble("this Python has no ensurepip: install it (Debian, Ubuntu: apt install python3-venv)")
        show(f"making {VENV} with Python {platform.python_version()}")
        if VENV.exists():
            shutil.rmtree(VENV)
        VENV.parent.mkdir(parents=True, exist_ok=True)
        venv.EnvBuilder(with_pip=True, symlinks=True).create(VENV)
        _unfinished(VENV).write_text(wanted_stamp())
    names = re.findall(r"^[A-Za-z0-9]\S*==", LOCK.read_text(), re.MULTILINE)
    pip("installing the packages of requirements.lock", len(names), "--require-hashes", "--no-deps", "-r", str(LOCK))
    pip("installing dragoman", 0, "--no-deps", "--no-build-isolation", "-e", str(ROOT))
    STAMP.write_text(wanted_stamp())
    _unfinished(VENV).unlink()


def _is_resumable() -> bool:
    try:
        return _unfinished(VENV).read_text() == wanted_stamp() and os.access(tool("python"), os.X_OK)
    except OSError:
        return False


def _remove_half_installed() -> None:
    """Remove packages that were installed only in part, because pip treats them as installed. Such a package has no
    file INSTALLER, which pip writes almost last."""
    for metadata in _packages().glob("*.dist-info"):
        if not (metadata / "INSTALLER").exists() and not metadata.name.startswith("pip-"):
            shutil.rmtree(metadata)


def _packages() -> Path:
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(VENV), "platbase": str(VENV)}))


def _has_ensurepip() -> bool:
    """Whether Python has ensurepip, which is a separate package on Debian."""
    try:
        import ensurepip
    except ImportError:
        return False
    return bool(ensurepip.version())


def pip(what: str, total: int, *arguments: str) -> None:
    """Run `pip install`. `total`: the number of packages, or 0 if it is unknown. Raises Trouble."""
    command = [tool("python"), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", *arguments]
    dropped = (
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONDONTWRITEBYTECODE",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_USER",
        "PIP_REQUIRE_VIRTUALENV",
    )
    variables = {name: value for name, value in os.environ.items() if name not in dropped}
    output, found, progress = list[str](), 0, InstallProgress(what, total)
    with subprocess.Popen(
        command, env=variables, text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        for line in process.stdout or ():
            output.append(line)
            found += line.startswith(("Collecting ", "Requirement already satisfied", "Ignoring "))
            progress.show(min(found, total), unpacking=line.startswith("Installing collected"))
    if process.returncode:
        raise Trouble(f"{what} failed:\n{''.join(output[-30:])}")
    progress.end()


def start_module(module: str, python: str, log: Path) -> None:
    """Start a module of this checkout in the background. Its process outlives this one, and writes to the file
    `log`."""
    with log.open("w") as output:
        subprocess.Popen(
            [python, "-m", module], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip


def show(text: str) -> None:
    # one call writes the whole line, because several checks of `lint` print at the same time
    print(f"dev: {text}\n", end="", flush=True)


class InstallProgress:
    """Shows the progress of an installation. On a terminal, it is one line that counts. Elsewhere, it is a line at the
    beginning, every ten seconds, and at the end."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._is_terminal = sys.stdout.isatty()
        self._began = self._shown = time.monotonic()
        self._write("")

    def show(self, count: int, *, unpacking: bool = False) -> None:
        """Show how many packages were fetched. `unpacking`: whether all were fetched."""
        now = time.monotonic()
        if self._is_terminal or unpacking or now - self._shown >= _PROGRESS_SECONDS:
            self._shown = now
            self._write(": unpacking them" if unpacking else f" ({count} of {self._total})" if self._total else "")

    def end(self) -> None:
        self._write(f": done in {time.monotonic() - self._began:.0f} s")
        if self._is_terminal:
            print(flush=True)

    def _write(self, text: str) -> None:
        if self._is_terminal:
            print(f"\r\033[Kdev: {self._what}{text}", end="", flush=True)
        else:
            show(self._what + text)
