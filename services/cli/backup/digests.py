"""Digests of a backup's databases and keys: one that was cut short, damaged or mixed with another is found before
anything is written."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from local.options import OperatorError


def digests_of(directory: Path, keys: str) -> dict[str, str]:
    """By name, of each database and of each key in `keys`. Raises OSError."""
    files = [path for path in (*directory.iterdir(), *(directory / keys).glob("*.pem")) if path.is_file()]
    return {str(path.relative_to(directory)): _digest(path) for path in files}


def verify(directory: Path, digests: Mapping[str, str], required: Iterable[str]) -> None:
    """`required`: names of directories and files that there must be. Raises OperatorError."""
    for name in (*digests, *required):
        if not (directory / name).exists():
            raise OperatorError(f"{directory / name} is missing: the backup is not complete")
    for name, digest in digests.items():
        try:
            found = _digest(directory / name)
        except OSError as error:
            raise OperatorError(f"{directory / name} cannot be read: {error.strerror}") from error
        if found != digest:
            raise OperatorError(f"{directory / name} is not what was backed up: it is damaged, or of another backup")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
