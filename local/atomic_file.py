"""Writes a file completely or not at all, even if the command is interrupted, the disk is full or the machine fails."""

import os
import tempfile
from pathlib import Path

from local.options import CommandFailed

_PRIVATE = 0o600


def write_private(file: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace a file with a file that only its owner may read. If not `durable`, a failure of the machine may leave a
    damaged file, and the write does not wait for the disk. Raises OSError."""
    _replace(file, content, _PRIVATE, durable)


def write_output(path: Path, content: bytes, mode: int = _PRIVATE) -> None:
    """Write a command's output to a file. A device, a pipe or a link, such as /dev/null or /dev/stdout, is not
    replaced. Raises CommandFailed."""
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
        else:
            _replace(path.resolve(), content, mode, durable=True)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror}", "Make room, or name another file") from error


def _replace(file: Path, content: bytes, mode: int, durable: bool) -> None:
    # the draft has a new name, so that no other user can have created or opened it
    descriptor, name = tempfile.mkstemp(prefix=".", dir=file.parent)
    draft = Path(name)
    try:
        with open(descriptor, "wb") as stream:
            os.fchmod(descriptor, mode)
            stream.write(content)
            stream.flush()
            if durable:
                os.fsync(descriptor)
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
