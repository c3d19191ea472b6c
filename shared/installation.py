"""The identity of an installation, which all its databases share, and the rules that say whether databases belong
together.

`dragoman migrate` gives all databases of an installation the same identity: first it writes the identity to each
database, then it marks each database as agreed. So if one database is agreed, and another one has not the same
identity, that other database was lost or replaced. The auth service assigns the numbers of accounts, and the session
service the numbers of chats: a database that lacks a number of another database is older than that database.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from shared.contract.installation import DatabaseState
from shared.errors import StartupError


class DatabasesApart(StartupError):
    """The databases do not belong together. With them, numbers of accounts or chats would be assigned twice."""


def require_together(states: Mapping[str, DatabaseState]) -> None:
    """`states`: the states of the known databases, by service. Raises DatabasesApart."""
    for problem, remedy in (*_identity_conflicts(states), *_number_conflicts(states)):
        raise DatabasesApart(problem, remedy)


def _identity_conflicts(states: Mapping[str, DatabaseState]) -> Iterator[tuple[str, str]]:
    agreed = {name: state.installation for name, state in states.items() if state.agreed}
    for name, state in states.items():
        others = [other for other, identity in agreed.items() if identity != state.installation]
        if others and name in agreed:
            what = f"the databases of {name} and {others[0]} are of different installations"
            yield what, "Correct database.url, or restore all from one backup"
        elif others:
            what = f"the database of {name} is new, and that of {others[0]} is not: {name}'s was lost or replaced"
            yield what, _remedy(name)


def _number_conflicts(states: Mapping[str, DatabaseState]) -> Iterator[tuple[str, str]]:
    auth, session = states.get("auth"), states.get("session")
    for name, state in states.items():
        if auth is not None and state.account > auth.account:
            known = f"account {state.account}{_since(state.account_time)}"
            yield _older("auth", f"account {auth.account}", name, known)
        if session is not None and name != "auth" and state.chat > session.chat:
            yield _older("session", f"chat {session.chat}", name, f"chat {state.chat}{_since(state.chat_time)}")


def _older(name: str, last: str, other: str, known: str) -> tuple[str, str]:
    what = f"the database of {name} is older than that of {other}: it ends with {last}, but {other} knows {known}"
    return what, _remedy(name)


def _remedy(name: str) -> str:
    return (
        f"Restore it from its newest backup (`dragoman restore --only {name} DIR`), "
        "or continue without the lost data (`dragoman migrate --accept-loss`)"
    )


def _since(time_ms: int) -> str:
    return f" of {datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC" if time_ms else ""
