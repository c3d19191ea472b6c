"""The partitions that this one of several databases serves: its own table is the truth.

Transactions that change chats hold a lock on its row, so that after a change of the row none of them goes on by the
former one. Message ids are unique over all databases: each database numbers its messages in a space of its own, of
2^44 ids.
"""

from typing import NamedTuple

import sqlalchemy as sa

from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import ChatId
from shared.errors import StartupError
from shared.partitions import partition_of
from shared.placement import PartitionRange, format_ranges, parse_ranges, to_partitions

_SPACE_BITS = 44
MAX_SPACES = 2 ** (53 - _SPACE_BITS)
"""Message ids are below 2^53."""

_COLUMNS = "name, partitions, id_space, id_spaces, version, served"
_LOAD = sa.text(f"SELECT {_COLUMNS} FROM placement WHERE id = 1")  # noqa: S608
_VERSION = sa.text("SELECT version FROM placement WHERE id = 1")
_LOCK_VERSION = sa.text("SELECT version FROM placement WHERE id = 1 FOR SHARE")
_LOCK_TABLE = sa.text("LOCK TABLE placement IN EXCLUSIVE MODE")
_SAVE = sa.text("""
    INSERT INTO placement (id, name, partitions, id_space, id_spaces, version, served)
    VALUES (1, :name, :partitions, :id_space, :id_spaces, :version, :served)
    ON CONFLICT (id) DO UPDATE SET version = :version, served = :served""")
_LAST_ID = sa.text("SELECT max(id) FROM messages WHERE id BETWEEN :first AND :last")

MOVED = RequestError(ErrorCode.UNAVAILABLE, "this chat is stored in another database, please try again")


class NotPlaced(StartupError):
    """The settings do not fit the database; the message says what to do."""


class PlacementChanged(Exception):
    """The row has another version than the one that the transaction goes by; nothing is committed."""


class StoredPlacement(NamedTuple):
    """The row, without its number. `id_spaces`: of the databases that there were when it was written."""

    name: str
    partitions: int
    id_space: int
    id_spaces: int
    version: int
    served: str

    @property
    def ranges(self) -> list[PartitionRange]:
        return parse_ranges(self.served)


class Places:
    """The partitions of a placement, for many chats."""

    def __init__(self, stored: StoredPlacement) -> None:
        self.stored = stored
        self._served = to_partitions(stored.ranges)

    def serves(self, chat: ChatId) -> bool:
        return partition_of(chat, self.stored.partitions) in self._served


def id_range(space: int) -> tuple[int, int]:
    """The first and the last message id of a space."""
    return (space << _SPACE_BITS) + 1, (space + 1 << _SPACE_BITS) - 1


def load(connection: sa.Connection) -> StoredPlacement | None:
    """None for a sole database."""
    row = connection.execute(_LOAD).one_or_none()
    return None if row is None else StoredPlacement(*row)


def save(connection: sa.Connection, stored: StoredPlacement) -> None:
    connection.execute(_SAVE, stored._asdict())


def lock(connection: sa.Connection) -> None:
    """Waits for the transactions that go by the row, and keeps new ones waiting; on SQLite, writers exclude each
    other anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK_TABLE)


def require_version(connection: sa.Connection, version: int, *, writing: bool) -> None:
    """Raises PlacementChanged. A writing transaction keeps this version until its end."""
    locked = writing and connection.dialect.name == "postgresql"
    if connection.execute(_LOCK_VERSION if locked else _VERSION).scalar_one() != version:
        raise PlacementChanged


def last_id(connection: sa.Connection, stored: StoredPlacement) -> int:
    """The last id that was assigned in the space of this database."""
    first, last = id_range(stored.id_space)
    found = connection.execute(_LAST_ID, {"first": first, "last": last}).scalar_one()
    return max(found or 0, first - 1)


def require_placement(connection: sa.Connection, name: str, partitions: int) -> None:
    """Check the settings of a replica (`name` is empty for a sole database). Raises NotPlaced."""
    stored = load(connection)
    if stored is None:
        if name:
            raise NotPlaced(f"no partitions are assigned to the database {name} yet: run `dragoman migrate`")
        return
    if not name:
        raise NotPlaced(
            f"this database is {stored.name}, one of several: name all in message.databases, and this one in "
            "message.database"
        )
    if stored.name != name:
        raise NotPlaced(f"the url of the database {name} in message.databases is that of the database {stored.name}")
    if stored.partitions != partitions:
        raise NotPlaced(
            f"message.partitions is {partitions}, but the chats of the database {name} are placed by "
            f"{stored.partitions}: set it back"
        )


def describe(stored: StoredPlacement) -> str:
    return f"{stored.name}: partitions {format_ranges(stored.ranges) or 'none'}, version {stored.version}"
