"""Lines in and out: of a user at a terminal, who edits a line while messages arrive above it, or of a script."""

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
"""Part of many emoji."""
_SECRET_PROMPT = "password: "  # noqa: S105 (no password)
_WIDE = ("W", "F")

readline: ModuleType | None
try:
    import readline
except ImportError:  # a Python built without it: lines are read as the terminal sends them
    readline = None


class Terminal:
    """One thread reads lines, any thread shows text."""

    def __init__(self) -> None:
        self.is_interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self.is_unread = False
        """The reader of the output is gone."""
        self._lock = threading.Lock()
        self._reading = False
        self._prompt: str | None = None
        """While a line is typed: the text before it."""
        sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        if self.is_interactive and readline is not None:
            readline.parse_and_bind("set enable-bracketed-paste off")  # each pasted line is a line
            readline.parse_and_bind("tab: self-insert")
            readline.set_startup_hook(self._line_begins)

    def show(self, text: str) -> None:
        """Lines of their own, above the line that is being typed. Control characters are shown, not obeyed."""
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
        """Nothing of it is shown. Raises EOFError."""
        with self._lock:
            self._prompt = _SECRET_PROMPT
        try:
            return getpass.getpass(_SECRET_PROMPT)
        finally:
            self._prompt = None

    def forget_line(self) -> None:
        """The last line, which holds a password, cannot be called up again."""
        if self.is_interactive and readline is not None and (count := readline.get_current_history_length()):
            readline.remove_history_item(count - 1)

    def interrupt(self, finished: Callable[[float], bool]) -> None:
        """From another thread: `read_line` raises KeyboardInterrupt, now or when it is called, until `finished` (after
        so many seconds)."""
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
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes it at its end


def printable(text: str) -> str:
    """Without characters that a terminal obeys or that reorder what is shown; line breaks stay."""
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
    """Moves to the beginning of the rows that a line takes, and clears them."""
    width = sum(2 if unicodedata.east_asian_width(one) in _WIDE else 1 for one in line)
    rows = width // max(1, shutil.get_terminal_size().columns)
    up = f"\x1b[{rows}A" if rows else ""
    return f"\r{up}\x1b[J"
