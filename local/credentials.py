"""Generates the passwords for the users of the embedded servers. The passwords are stored only in the data
directory."""

import os
import secrets
from pathlib import Path

import msgspec

from local import nats, valkey
from local.options import CommandFailed, OperatorError
from shared.vapid import make_key


class Credentials(msgspec.Struct, frozen=True):
    """The passwords for each server, by the user's name, and the private VAPID key of notifications."""

    nats: dict[str, str]
    valkey: dict[str, str]
    push_key: str = ""


def generate(known: Credentials | None = None) -> Credentials:
    """Generate a password for every user of NATS and Valkey, and a push key. Passwords and keys in `known` do not
    change."""
    return Credentials(
        push_key=(known.push_key if known else "") or make_key(),
        nats=complete(nats.USERS, known.nats if known else {}),
        valkey=complete(tuple(valkey.GRANTS), known.valkey if known else {}),
    )


def load_or_make(file: Path) -> Credentials:
    """Load the credentials in `file` (mode 0600). Credentials that are missing are generated. Raises OSError,
    OperatorError."""
    try:
        known = msgspec.json.decode(file.read_bytes(), type=Credentials) if file.exists() else None
    except msgspec.MsgspecError as error:
        raise OperatorError(f"{file} is damaged: {error}", "Remove it: the next start makes new passwords") from error
    credentials = generate(known)
    if credentials != known:
        write_private(file, msgspec.json.format(msgspec.json.encode(credentials)))
    return credentials


def write_private(file: Path, content: bytes) -> None:
    """Replace a file atomically with a file that only its owner may read. If this fails, nothing is left behind. Raises
    OSError."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        draft.replace(file)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def write_output(path: Path, content: bytes) -> None:
    """Write a command's output to a file that only its owner may read. A device, a pipe or a link, such as /dev/null or
    /dev/stdout, is not replaced. Raises CommandFailed."""
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
        else:
            write_private(path.resolve(), content)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror}", "Name another file by --output") from error


def complete(users: tuple[str, ...], known: dict[str, str]) -> dict[str, str]:
    """Return a password for each user. Known passwords do not change."""
    return {user: known.get(user) or secrets.token_hex(24) for user in users}
