"""Groups of commands, and their streams: closed, full, or of an encoding that lacks characters. None of that ends with
a traceback."""

import errno
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

from shared.errors import StartupError
from shared.settings import LogSettings
from shared.telemetry import configure_logging

_STREAMS = ("stdin", "stdout", "stderr")
_OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EBADF, errno.EIO, errno.EFBIG)


class LazyGroup(click.Group):
    """Imports a command when it is run or listed: each starts without the libraries of the others. `places`: the
    module and the name (MODULE:NAME) of each command by the word for it."""

    def __init__(self, *args: Any, places: Mapping[str, str], **extra: Any) -> None:
        super().__init__(*args, **extra)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.commands, *self._places})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self._places and cmd_name not in self.commands:
            module, _, name = self._places[cmd_name].partition(":")
            self.add_command(getattr(import_module(module), name), cmd_name)
        return super().get_command(ctx, cmd_name)


class CommandGroup(LazyGroup):
    """The outermost group. An error of the operating system, or of a setting, that no command has handled is one
    sentence, exit status 1."""

    def main(self, *args: Any, **extra: Any) -> Any:
        _open_closed_streams()
        _replace_lacking_characters()
        _require_text(args[0] if args and args[0] is not None else extra.get("args") or sys.argv[1:])
        with _reported_errors():
            return super().main(*args, **extra)


def _open_closed_streams() -> None:
    """A closed descriptor would be given to the next file or socket, into which output would go."""
    for number, name in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number, this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if name == "stdin" else "w", encoding="utf-8", closefd=False))


def _require_text(arguments: Sequence[str]) -> None:
    """Names and values travel and are stored as UTF-8. Other bytes end the command with status 2."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            click.echo(f"Error: the argument {argument!a} is not UTF-8", err=True)
            sys.exit(2)


def _replace_lacking_characters() -> None:
    """Those that the locale's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.encoding.lower() != "utf-8":
            with suppress(OSError):  # in a forked process, a pipe that was a file
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
        sys.exit(1)
    except OSError as error:
        _discard_output()
        is_output = error.filename is None and error.errno in _OUTPUT_ERRORS
        text = f"the output cannot be written: {error.strerror}" if is_output else str(error)
        with suppress(OSError):
            click.echo(f"Error: {text}", err=True)
        sys.exit(1)


def _discard_output() -> None:
    """What is still buffered can be written neither now nor by the interpreter at its end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def configure_plain_logs() -> None:
    """Log only warnings, as plain text on stderr: a command prints its result on stdout."""
    configure_logging(LogSettings(level="warning", json_lines=False), "dragoman", sys.stderr)
