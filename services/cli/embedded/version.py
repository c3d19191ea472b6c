"""The version of an installed server, as its program names it."""

import re
import subprocess

_SECONDS = 5.0


def version_of(program: str) -> str:
    """Empty if the program does not say."""
    try:
        result = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r"\bv=?(\d[\w.+-]*)", result.stdout)
    return found[1] if found else ""
