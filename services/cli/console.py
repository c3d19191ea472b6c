"""Groups of commands, and their output streams. If a stream is closed, its disk is full, or its encoding lacks
characters, the command ends without a traceback."""

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from io import TextIOWrapper
from types import FrameType
from typing import Any, TypeVar

import click

from local.exit_status import ExitStatus
from local.options import CommandFailed
from shared.errors import StartupError
from shared.settings.servers import LogSettings
from shared.telemetry import configure_logging

F = TypeVar("F", bound=Callable[..., Any])

_STREAMS = ("stdin", "stdout", "stderr")
_REMEDIES = dict.fromkeys(
    (errno.EACCES, errno.EPERM, errno.EROFS),
    "Run this as the owner of the file or directory, or give this user the permission",
)
_REMEDIES |= dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "Make room on the disk")
_OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EBADF, errno.EIO, errno.EFBIG)


def default_option(
    name: str, default: object, help: str, type: "click.ParamType[Any] | None" = None
) -> Callable[[F], F]:
    """An option of a command, with its default in the help. `type`: the type of the default, unless it is given."""
    return click.option(name, default=default, show_default=True, help=help, type=type)


class LazyGroup(click.Group):
    """Imports a command only when it is run or listed, so that a command starts without the libraries of other
    commands. `sections`: for each title in the help, the names of the commands, each with its place in the code
    (MODULE:NAME)."""

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, str]], **extra: Any) -> None:
        super().__init__(*args, **extra)
        self._sections = sections
        self._places = {name: place for section in sections.values() for name, place in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.commands, *self._places})

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes each section with its commands. The first section also has the commands that were added to the group
        itself. It is sorted by name."""
        own = dict.fromkeys(sorted(self.commands.keys() - self._places.keys()), "")
        width = formatter.width - 6 - max(map(len, self.list_commands(ctx)))
        for title, section in self._sections.items():
            names = sorted([*own, *section]) if own else [*section]
            own = {}
            with formatter.section(title):
                shown = [(name, command) for name in names if (command := self.get_command(ctx, name))]
                formatter.write_dl([(name, command.get_short_help_str(width)) for name, command in shown])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self._places and cmd_name not in self.commands:
            module, _, name = self._places[cmd_name].partition(":")
            self.add_command(getattr(import_module(module), name), cmd_name)
        return super().get_command(ctx, cmd_name)


class CommandGroup(LazyGroup):
    """The outermost group. If a command does not handle an error of the operating system or of a setting, the error is
    printed as one sentence, with exit status 1. Ctrl-C and SIGTERM end a command without a message."""

    def main(self, *args: Any, **extra: Any) -> Any:
        if threading.current_thread() is threading.main_thread():  # another thread receives no signals
            signal.signal(signal.SIGTERM, _interrupt)
        _open_closed_streams()
        _replace_lacking_characters()
        _require_text(args[0] if args and args[0] is not None else extra.get("args") or sys.argv[1:])
        with _reported_errors():
            return super().main(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo(err=True)
            sys.exit(ExitStatus.INTERRUPTED)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Handles SIGTERM as Ctrl-C, also if a shell has made this process ignore Ctrl-C. Without a handler, process 1 of a
    container would ignore SIGTERM."""
    handler = signal.getsignal(signal.SIGINT)
    (handler if callable(handler) else signal.default_int_handler)(signal.SIGINT, frame)


def _open_closed_streams() -> None:
    """Opens closed standard streams. Otherwise, the next file or socket would get the free descriptor, and then receive
    the output."""
    for number, name in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the operating system gives the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if name == "stdin" else "w", encoding="utf-8", closefd=False))


def _require_text(arguments: Sequence[str]) -> None:
    """Ends the command with status 2 if an argument is not UTF-8, because names and values are sent and stored as
    UTF-8."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            click.echo(f"Error: the argument {argument!a} is not UTF-8", err=True)
            sys.exit(ExitStatus.WRONG_USE)


def _replace_lacking_characters() -> None:
    """Makes the output streams replace the characters that the locale's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.encoding.lower() != "utf-8":
            with suppress(OSError):  # in a forked process, the stream may be a pipe now
                stream.reconfigure(errors="replace")


@contextmanager
def _reported_errors() -> Iterator[None]:
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except StartupError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(ExitStatus.FAILED)
    except OSError as error:
        _discard_output()
        is_output = error.filename is None and error.errno in _OUTPUT_ERRORS
        what = "the output cannot be written" if is_output else error.filename or "it has failed"
        remedy = _REMEDIES.get(error.errno or 0, "`dragoman doctor` checks the installation")
        with suppress(OSError):
            click.echo(f"Error: {what}: {error.strerror or error}. {remedy}", err=True)
        sys.exit(ExitStatus.FAILED)


def _discard_output() -> None:
    """Discards buffered output that cannot be written. Otherwise, the interpreter would try to write it again at its
    end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def confirm(question: str, *, yes: bool) -> None:
    """Asks the operator the question, unless `yes` is set. Raises CommandFailed if the operator declines, or if there
    is no terminal."""
    if yes:
        return
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        agreed = False
        click.echo(err=True)
    if not agreed:
        raise CommandFailed("nothing was changed", "Answer y, or give --yes")


def configure_plain_logs() -> None:
    """Log only warnings, as plain text on stderr, because a command prints its result on stdout."""
    configure_logging(LogSettings(level="warning", json_lines=False), "dragoman", sys.stderr)
