"""Reads and writes lines. At a terminal, a user can edit a line while messages appear above it. Lines can also come
from a script."""

import getpass
import os
import shutil
import signal
import sys
import threading
import unicodedata
from collections.abc import Callable
from types import ModuleType

_JOINER = "\u200d"
"""This invisible character is a part of many emoji."""
_SECRET_PROMPT = "password: "  # noqa: S105 (no password)
_WIDE = ("W", "F")

readline: ModuleType | None
try:
    import readline
except ImportError:  # without readline, the program reads lines as the terminal sends them
    readline = None


class Terminal:
    """One thread reads lines; any thread may show text."""

    def __init__(self) -> None:
        self.is_interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self.is_unread = False
        """Whether the program that reads the output has closed it."""
        self._lock = threading.Lock()
        self._reading = False
        self._prompt: str | None = None
        """The prompt while a line is typed; otherwise None."""
        sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        if self.is_interactive and readline is not None:
            # each pasted line counts as a line that the user has typed
            readline.parse_and_bind("set enable-bracketed-paste off")
            readline.parse_and_bind("tab: self-insert")
            readline.set_startup_hook(self._line_begins)

    def show(self, text: str) -> None:
        """Print lines above the line that is being typed. Control characters are made visible."""
        shown = printable(text)
        with self._lock:
            if self._prompt is None:
                self._print(f"{shown}\n")
            else:
                line = self._prompt + _typed(self._prompt)
                self._print(f"{_erase(line)}{shown}\n{line}")

    def read_line(self) -> str | None:
        """The next line; None at the end of the input."""
        self._reading = True
        try:
            if not self.is_interactive:
                line = sys.stdin.readline()
                return line.rstrip("\r\n") if line else None
            if readline is None:
                self._line_begins()
            return input()
        except EOFError:
            self.show("")
            return None
        finally:
            self._reading, self._prompt = False, None

    def read_password(self) -> str:
        """Let the user type a line without showing it. Raises EOFError."""
        with self._lock:
            self._prompt = _SECRET_PROMPT
        try:
            return getpass.getpass(_SECRET_PROMPT)
        finally:
            self._prompt = None

    def forget_line(self) -> None:
        """Removes the last line from the history, because it holds a password."""
        if self.is_interactive and readline is not None and (count := readline.get_current_history_length()):
            readline.remove_history_item(count - 1)

    def interrupt(self, finished: Callable[[float], bool]) -> None:
        """Makes `read_line`, which runs in another thread, raise KeyboardInterrupt until `finished` returns True or the
        time is over."""
        reader = threading.main_thread().ident
        while not finished(0.05):
            if self._reading and reader is not None:
                signal.pthread_kill(reader, signal.SIGINT)

    def _line_begins(self) -> None:
        self._prompt = ""

    def _print(self, text: str) -> None:
        try:
            print(text, end="", flush=True)
        except BrokenPipeError:
            self.is_unread = True
            # the interpreter flushes standard output at its end, which would fail without a reader
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def printable(text: str) -> str:
    """Replaces characters that control a terminal or reorder text by their escape sequences. Line breaks stay."""
    return "".join(
        one if one.isprintable() or one in ("\n", _JOINER) else one.encode("unicode_escape", "replace").decode()
        for one in text
    )


def _typed(prompt: str) -> str:
    if prompt == _SECRET_PROMPT or readline is None:
        return ""
    typed: str = readline.get_line_buffer()
    return typed


def _erase(line: str) -> str:
    """The control characters that move the cursor to the beginning of a line, which may take several rows, and clear
    it."""
    width = sum(2 if unicodedata.east_asian_width(one) in _WIDE else 1 for one in line)
    rows = width // max(1, shutil.get_terminal_size().columns)
    up = f"\x1b[{rows}A" if rows else ""
    return f"\r{up}\x1b[J"
