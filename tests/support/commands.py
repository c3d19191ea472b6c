"""`dragoman` commands, and drills, as processes that are forked from one which has imported everything: importing takes
longer than most commands. Fork servers of these processes are forked from them, too, and fork broken builds.

Run as a module, this is that process.
"""

import atexit
import gc
import os
import runpy
import signal
import socket
import subprocess
import sys
import traceback
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NoReturn

import click

from dragoman.forked import MODULES
from local import fork_server
from local.fork_server import COMMAND, ForkServer, adopt, serve, serve_standard_input
from local.process_group import ProcessGroup
from tests.support.forked import ForkedService

ROOT = Path(__file__).resolve().parents[2]
PYTHON_MODULE = (sys.executable, "-m")
DRAGOMAN = (*PYTHON_MODULE, "dragoman.main")
FORKING = "TESTS_FORK_COMMANDS"
"""An environment variable that is set while the tests run, which see none of the product's."""
_MORE_MODULES = (
    "services.cli.up", "local.up_plan", "services.cli.migrations", "services.cli.overview.server",
    "services.cli.admin.users", "bench.cli", "tests.drills.__main__", "tests.drills.mutants",
)  # fmt: skip
_PROGRAMS = (
    "tests.drills", "tests.drills.mutants", "tests.system.held_commands", "tests.unit.services.cli.fake_processes",
)  # fmt: skip
"""Modules that are run as programs: they change nothing before they import the product."""


def subcommands(group: click.Group) -> dict[str, click.Command]:
    """By the words for them. Groups import them on use."""
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


class CommandServer(ForkServer):
    """One for each process of the test run."""

    module = "tests.support.commands"


@cache
def command_server() -> CommandServer:
    group = ProcessGroup()
    server = CommandServer(group)
    atexit.register(group.close)
    atexit.register(server.close)
    return server


def start(command: Sequence[str], output: int, directory: Path = ROOT) -> ForkedService | subprocess.Popen[bytes]:
    """A process that runs the command in the directory. `output`: its standard output and error, a file descriptor.
    Forked if the command is one of the product's or of the programs, and the tests run: drills that are started by hand
    start everything as a user does."""
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
    """Runs `dragoman` with these arguments to its end, which must be a good one. Returns its output."""
    status, shown = run([*DRAGOMAN, *map(str, arguments)], log, seconds)
    assert status == 0, shown
    return shown


def forkable(command: Sequence[str]) -> Sequence[str]:
    """The same command as a fork server takes it, if it can be forked."""
    if tuple(command[: len(DRAGOMAN)]) == DRAGOMAN:
        return [*COMMAND, *command[len(DRAGOMAN) :]]
    if tuple(command[:2]) == PYTHON_MODULE and command[2] in _PROGRAMS:
        return [*COMMAND, *command[1:]]
    return command


def _fork_the_server(server: ForkServer) -> None:
    """Replaces the start of another Python that imports everything."""
    server._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server._socket.settimeout(fork_server._START_SECONDS)
    server._ready = False
    kept = {theirs.fileno(), *server._group.spawn_options["pass_fds"]}
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _become_server(theirs, kept)
    theirs.close()
    server._process = ForkedService(pid)  # type: ignore[assignment]


def _become_server(requests: socket.socket, kept: set[int]) -> NoReturn:
    """In the new process: nothing of the one that forked it may be used or closed in order, its event loop least."""
    gc.freeze()
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2 and descriptor not in kept:
            _close(descriptor)
    request = serve(requests)
    if request is None:
        os._exit(0)
    adopt(request)
    _run()


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:  # that of the listing
        return


def _run() -> NoReturn:
    """The command, or the program. It ends without the interpreter's clean-up, which takes a tenth of a second here."""
    status = 1
    try:
        if sys.argv[1] == "-m":
            _, _, program, *arguments = sys.argv
            sys.argv = [program, *arguments]
            warnings.filterwarnings("ignore", module="runpy")  # the program is imported already
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            from dragoman.main import main  # the tests themselves do without it

            main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    fork = ForkServer.fork
    ForkServer.fork = lambda self, name, command, *more: fork(self, name, forkable(command), *more)  # type: ignore[method-assign]
    ForkServer._start = _fork_the_server  # type: ignore[method-assign, assignment]
    if serve_standard_input((*MODULES, *_MORE_MODULES)):
        _run()
