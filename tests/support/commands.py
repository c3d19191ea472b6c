"""Runs `dragoman` commands and drills as forks of a process that has imported everything. Imports would take longer
than most commands.

The fork servers of these commands are also forked from this process, and can also fork broken builds. Run as a module,
this file is that process.
"""

import atexit
import gc
import os
import runpy
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import click

from dragoman.forked import MODULES
from local.fork_server import COMMAND, ForkServer, become_server, end_with, serve_standard_input
from local.process_group import ProcessGroup
from tests.support.forked import ForkedService

ROOT = Path(__file__).resolve().parents[2]
PYTHON_MODULE = (sys.executable, "-m")
DRAGOMAN = (*PYTHON_MODULE, "dragoman.main")
FORKING = "TESTS_FORK_COMMANDS"
"""An environment variable that is set while the tests run. The tests see no variable of the product."""
COLLECT_AFTER = 20_000, 10, 10
"""The thresholds of the garbage collector. Python's default of 700 takes an eighth of the CPU time of tests."""
_MORE_MODULES = (
    "local.up_plan", "services.cli.migrations", "services.cli.overview.server",
    "services.cli.admin.users", "bench.measurements.connections", "bench.measurements.conversations",
    "tests.drills.__main__", "tests.drills.mutants",
)  # fmt: skip
_PROGRAMS = (
    "tests.drills", "tests.drills.mutants", "tests.system.held_commands", "tests.unit.services.cli.fake_processes",
)  # fmt: skip
"""Modules that tests run as programs. They change nothing before they import the product, so they can be forked."""


def subcommands(group: click.Group) -> dict[str, click.Command]:
    """Returns the subcommands by name. A group imports a subcommand when it is used."""
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


class CommandServer(ForkServer):
    """A fork server for commands. Each process of the test run has its own."""

    module = "tests.support.commands"


@cache
def command_server() -> CommandServer:
    group = ProcessGroup()
    server = CommandServer(group)
    atexit.register(group.close)
    atexit.register(server.close)
    return server


def start(command: Sequence[str], output: int, directory: Path = ROOT) -> ForkedService | subprocess.Popen[bytes]:
    """Starts a process that runs the command in the directory. `output` is the file descriptor for its standard output
    and error.

    While the tests run, commands of the product and of `_PROGRAMS` are forked. A drill that a user starts by hand
    starts new processes, as a user's system does.
    """
    forked = forkable(command)
    if FORKING in os.environ and directory == ROOT and forked is not command and ForkServer.is_supported():
        pid = command_server().fork("dragoman", forked, os.environ, output)
        if pid is not None:
            return ForkedService(pid)
    return subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def run(command: Sequence[str], log: Path, seconds: float | None = None) -> tuple[int, str]:
    """Runs the command to its end. Returns its exit status and its output, which is also written to `log`."""
    with log.open("wb") as file:
        process = start(command, file.fileno())
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return status, log.read_text(errors="replace")


def run_dragoman(arguments: Sequence[str | Path], log: Path, seconds: float) -> str:
    """Runs `dragoman` with these arguments to its end. The command must succeed. Returns its output."""
    status, shown = run([*DRAGOMAN, *map(str, arguments)], log, seconds)
    assert status == 0, shown
    return shown


def forkable(command: Sequence[str]) -> Sequence[str]:
    """Returns the command in the form that a fork server accepts, or unchanged if it cannot be forked."""
    if tuple(command[: len(DRAGOMAN)]) == DRAGOMAN:
        return [*COMMAND, *command[len(DRAGOMAN) :]]
    if tuple(command[:2]) == PYTHON_MODULE and command[2] in _PROGRAMS:
        return [*COMMAND, *command[1:]]
    return command


def _fork_again(server: ForkServer, requests: socket.socket) -> "subprocess.Popen[bytes]":
    """Forks a fork server, in place of starting another Python that imports everything.

    The product's fork happens before the event loop starts. This process already has an event loop, so the signals are
    reset.
    """
    kept = server._group.spawn_options["pass_fds"]
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        return ForkedService(pid)  # type: ignore[return-value]
    gc.freeze()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    become_server(requests, kept, _run)


def _run() -> None:
    """Runs the command of `dragoman`, or one of the programs."""
    if sys.argv[1] == "-m":
        gc.set_threshold(*COLLECT_AFTER)
        _, _, program, *arguments = sys.argv
        sys.argv = [program, *arguments]
        warnings.filterwarnings("ignore", module="runpy")  # runpy warns that the program has already been imported
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        from dragoman.main import main  # imported here, because the tests themselves do not need it

        main()


if __name__ == "__main__":
    fork = ForkServer.fork
    ForkServer.fork = lambda self, name, command, *more: fork(self, name, forkable(command), *more)  # type: ignore[method-assign]
    ForkServer._spawn = ForkServer._fork = _fork_again  # type: ignore[method-assign, assignment]
    if serve_standard_input((*MODULES, *_MORE_MODULES)):
        end_with(_run)
