"""The log of a command: a module of its own, since commands start faster without those that migrate."""

import sys

from shared.settings import LogSettings
from shared.telemetry import configure_logging


def configure_plain_logs() -> None:
    """Log only warnings, as plain text on stderr: a command prints its result on stdout."""
    configure_logging(LogSettings(level="warning", json_lines=False), "dragoman", sys.stderr)
