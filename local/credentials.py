"""Generated passwords of the embedded servers' users, stored only in the data directory."""

import os
import secrets
from pathlib import Path

import msgspec

from local import nats, valkey
from shared.vapid import make_key


class Credentials(msgspec.Struct, frozen=True):
    """Passwords by user name, for each server; the private VAPID key of notifications."""

    nats: dict[str, str]
    valkey: dict[str, str]
    push_key: str = ""


def generate(known: Credentials | None = None) -> Credentials:
    """Generates a password for every user of NATS and Valkey, and a push key. Passwords and keys in `known` stay."""
    return Credentials(
        push_key=(known.push_key if known else "") or make_key(),
        nats=complete(nats.USERS, known.nats if known else {}),
        valkey=complete(tuple(valkey.GRANTS), known.valkey if known else {}),
    )


def load_or_make(file: Path) -> Credentials:
    """The credentials in `file` (mode 0600), generated on first start. Raises OSError, msgspec.DecodeError."""
    known = msgspec.json.decode(file.read_bytes(), type=Credentials) if file.exists() else None
    credentials = generate(known)
    if credentials != known:
        write_private(file, msgspec.json.format(msgspec.json.encode(credentials)))
    return credentials


def write_private(file: Path, content: bytes) -> None:
    """Replace a file atomically with one that only its owner may read. Raises OSError, and leaves nothing behind."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        draft.replace(file)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def complete(users: tuple[str, ...], known: dict[str, str]) -> dict[str, str]:
    """A password for each user; known passwords do not change."""
    return {user: known.get(user) or secrets.token_hex(24) for user in users}
