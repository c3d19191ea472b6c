"""The tools that make the site and the animation. They are in their own environment, .venv-docs, which is made from
docs/tools.lock."""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
_PLACE = ROOT / ".venv-docs"
_LOCK = ROOT / "docs" / "tools.lock"
_STAMP = _PLACE / "made-from"


def program(name: str) -> str:
    """The path of a program in the environment. The environment is made first if it is missing or outdated. Raises
    CalledProcessError."""
    wanted = hashlib.sha256(_LOCK.read_bytes() + sys.version.encode()).hexdigest()
    if not _STAMP.exists() or _STAMP.read_text() != wanted:
        venv.EnvBuilder(with_pip=False, clear=True, symlinks=True).create(_PLACE)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(_PLACE / "bin" / "python")]
        subprocess.run([*pip, "install", "--quiet", "--require-hashes", "--no-deps", "-r", str(_LOCK)], check=True)
        _STAMP.write_text(wanted)
    return str(_PLACE / "bin" / name)
