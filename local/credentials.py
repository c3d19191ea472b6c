"""Generates the passwords for the users of the embedded servers. The passwords are stored only in the data
directory."""

import secrets
from pathlib import Path

import msgspec

from local import nats, valkey
from local.atomic_file import write_private
from local.options import OperatorError
from shared.vapid import make_key

DAMAGED = (
    "Restore it, or remove it: the next start makes new passwords and a new push key, and devices are notified again "
    "only after their clients have started"
)
"""The advice for a damaged file of credentials."""


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
        raise OperatorError(f"{file} is damaged: {error}", DAMAGED) from error
    credentials = generate(known)
    if credentials != known:
        write_private(file, msgspec.json.format(msgspec.json.encode(credentials)))
    return credentials


def complete(users: tuple[str, ...], known: dict[str, str]) -> dict[str, str]:
    """Return a password for each user. Known passwords do not change."""
    return {user: known.get(user) or secrets.token_hex(24) for user in users}
