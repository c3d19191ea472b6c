"""Checks whether the databases of an installation belong together. Each database stores what is needed for this."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from services.auth.store.installation import database_state as auth_state
from services.auth.store.installation import skip_accounts
from services.message.store.installation import database_state as message_state
from services.session.store.installation import database_state as session_state
from services.session.store.installation import skip_chats
from shared.clock import now_ms
from shared.contract.ids import AccountId, ChatId
from shared.contract.installation import DatabaseState
from shared.database import open_engine
from shared.identity import Identity, adopt_identity, propose_identity, read_identity
from shared.installation import require_together
from shared.settings import Settings

_READERS: dict[str, Callable[[sa.Connection], DatabaseState]] = {
    "auth": auth_state, "session": session_state, "message": message_state,
}  # fmt: skip
_TABLES = {"auth": "accounts", "session": "profile", "message": "heads"}
_SKIPPED = 100_000
"""The number of account and chat numbers that a restore skips. It is unknown how many numbers were assigned after the
backup."""


def database_urls(settings: Settings) -> dict[str, str]:
    """The URL of each database by its service. Databases are copied in this order, message first. An account or chat
    that is created during the copy is then in a database that is copied later. So its number is not assigned again
    after a restore."""
    return {service: settings.database_url(service) for service in ("message", "session", "auth")}


def check_together(settings: Settings) -> None:
    """Compares the databases that can be read. A database that does not exist or has no tables counts as new. Raises
    DatabasesApart."""
    states: dict[str, DatabaseState] = {}
    for service, url in database_urls(settings).items():
        with suppress(SQLAlchemyError), open_existing(url) as connection:
            if connection is None or not sa.inspect(connection).has_table(_TABLES[service]):
                states[service] = DatabaseState()
            else:
                states[service] = _READERS[service](connection)
    require_together(states)


def make_together(settings: Settings) -> None:
    """Gives all databases the same identity. The databases must be migrated. Repeated and simultaneous calls do no
    harm. Raises DatabasesApart, sqlalchemy.exc.SQLAlchemyError."""
    check_together(settings)
    found: list[Identity] = []
    value = secrets.token_hex(16)
    # sorted by name, auth comes first: the other databases get the identity of its database
    for _, url in sorted(database_urls(settings).items()):
        with open_engine(url) as engine, engine.begin() as connection:
            propose_identity(connection, value)
            identity = read_identity(connection)
            value = value if found else identity.value
            if not identity.agreed and identity.value != value:
                adopt_identity(connection, Identity(value))
        found.append(identity)
    if not all(identity.agreed for identity in found):
        _agree(settings, value)


def accept_loss(settings: Settings) -> str:
    """Gives databases with different identities a common identity. New accounts and chats then get numbers above all
    known numbers. Returns a report. Raises sqlalchemy.exc.SQLAlchemyError."""
    value = secrets.token_hex(16)
    for url in database_urls(settings).values():
        with open_engine(url) as engine, engine.begin() as connection:
            adopt_identity(connection, Identity(value))
    account, chat = skip_numbers(settings)
    _agree(settings, value)
    return f"the databases belong together: the next account is above {account}, the next chat above {chat}"


def skip_numbers(settings: Settings) -> tuple[AccountId, ChatId]:
    """Skips numbers: new accounts and chats get higher numbers than the returned ones from now on. Raises
    sqlalchemy.exc.SQLAlchemyError."""
    states = []
    for service, url in database_urls(settings).items():
        with open_engine(url) as engine, engine.begin() as connection:
            states.append(_READERS[service](connection))
    account = AccountId(max(state.account for state in states) + _SKIPPED)
    chat = ChatId(max(state.chat for state in states) + _SKIPPED)
    with open_engine(settings.database_url("auth")) as engine, engine.begin() as connection:
        skip_accounts(connection, account)
    with open_engine(settings.database_url("session")) as engine, engine.begin() as connection:
        skip_chats(connection, chat, now_ms())
    return account, chat


def _agree(settings: Settings, value: str) -> None:
    for url in database_urls(settings).values():
        with open_engine(url) as engine, engine.begin() as connection:
            adopt_identity(connection, Identity(value, agreed=True))


@contextmanager
def open_existing(url: str) -> Iterator[sa.Connection | None]:
    """A connection; None if the SQLite file does not exist. The file is not created. Raises StartupError,
    sqlalchemy.exc.SQLAlchemyError."""
    place = sa.make_url(url)
    if place.get_backend_name() == "sqlite" and not Path(place.database or "").is_file():
        yield None
        return
    with open_engine(url) as engine, engine.connect() as connection:
        yield connection
