"""Assigns partitions to new databases, after all that the map names are compared: none is served by two, or by none."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import sqlalchemy as sa

from services.message.store.moves import Move, load_move
from services.message.store.placement import (
    MAX_SPACES,
    NotPlaced,
    StoredPlacement,
    describe,
    id_range,
    load,
    lock,
    require_placement,
    save,
)
from shared.contract.ids import ChatId
from shared.database import make_engine
from shared.partitions import partition_of
from shared.placement import PartitionRange, format_ranges, to_partitions, to_ranges

_PAGE = 10_000
_HEADS = sa.text("SELECT chat_id FROM heads WHERE chat_id > :after ORDER BY chat_id LIMIT :page")
_ANY_MESSAGE = sa.text("SELECT 1 FROM messages LIMIT 1")


def place(urls: Mapping[str, str], ranges: Mapping[str, list[PartitionRange]], partitions: int) -> list[str]:
    """Give each new database its partitions; returns a description of each placement. Databases that have a placement
    keep it. Safe to repeat. Raises NotPlaced, sqlalchemy.exc.SQLAlchemyError."""
    with ExitStack() as stack:
        engines = {name: stack.enter_context(open_engine(url)) for name, url in urls.items()}
        placements = {name: _load(engine, name, partitions) for name, engine in engines.items()}
        placed = {name: stored for name, stored in placements.items() if stored is not None}
        new = [name for name in placements if name not in placed]
        moves = [move for engine in engines.values() if (move := _load_move(engine)) is not None]
        taken = {partition: move.target for move in moves for partition in to_partitions(move.ranges)}
        taken |= {partition: name for name, stored in placed.items() for partition in to_partitions(stored.ranges)}
        _check_new(new, ranges, taken)
        if missing := set(range(partitions)) - taken.keys() - _all(ranges[name] for name in new):
            raise NotPlaced(f"no database serves partitions {format_ranges(to_ranges(missing))}")
        filled = [name for name in new if _check_chats(engines[name], name, ranges[name], partitions)]
        if len(filled) > 1 or (filled and placed):
            raise NotPlaced(f"the database {filled[-1]} has messages already: a further database must be empty")
        spaces = max((stored.id_spaces for stored in placed.values()), default=0)
        version = max((stored.version for stored in placed.values()), default=1)
        for name in sorted(new, key=lambda name: name not in filled):
            if spaces >= MAX_SPACES:
                raise NotPlaced(f"there have been {MAX_SPACES} databases, and message ids for no more")
            served = format_ranges(ranges[name])
            first = StoredPlacement(name, partitions, spaces, spaces + 1, version, served)
            spaces += 1
            placed[name] = _place_one(engines[name], first)
        return [describe(placed[name]) for name in placements]


@contextmanager
def open_engine(url: str) -> Iterator[sa.Engine]:
    """An engine that is disposed of at the end."""
    engine = make_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def _load(engine: sa.Engine, name: str, partitions: int) -> StoredPlacement | None:
    with engine.connect() as connection:
        stored = load(connection)
        if stored is not None:
            require_placement(connection, name, partitions)
        return stored


def _load_move(engine: sa.Engine) -> Move | None:
    with engine.connect() as connection:
        return load_move(connection)


def _all(ranges: Iterable[list[PartitionRange]]) -> set[int]:
    return {partition for own in ranges for partition in to_partitions(own)}


def _check_new(new: list[str], ranges: Mapping[str, list[PartitionRange]], taken: Mapping[int, str]) -> None:
    for name in new:
        if conflicts := to_partitions(ranges[name]) & taken.keys():
            other = taken[min(conflicts)]
            raise NotPlaced(
                f"partitions {format_ranges(to_ranges(conflicts))} are in the database {other} already: "
                f"message.databases cannot give them to {name}"
            )


def _check_chats(engine: sa.Engine, name: str, ranges: list[PartitionRange], partitions: int) -> bool:
    """Whether the database has messages. Raises NotPlaced if it has chats of partitions that it is not given."""
    foreign, after = set[int](), 0
    with engine.connect() as connection:
        while chats := connection.scalars(_HEADS, {"after": after, "page": _PAGE}).all():
            foreign |= {partition_of(ChatId(chat), partitions) for chat in chats} - to_partitions(ranges)
            after = chats[-1]
        if foreign:
            raise NotPlaced(
                f"the database {name} holds chats of partitions {format_ranges(to_ranges(foreign))}: give it these in "
                "message.databases"
            )
        return connection.scalar(_ANY_MESSAGE) is not None


def _place_one(engine: sa.Engine, first: StoredPlacement) -> StoredPlacement:
    """Unless another process was faster."""
    with engine.connect() as connection, connection.execution_options(begin="BEGIN IMMEDIATE").begin():
        lock(connection)
        if (stored := load(connection)) is not None:
            return stored
        save(connection, first)
        if first.id_space and connection.dialect.name == "postgresql":
            start = id_range(first.id_space)[0]
            connection.exec_driver_sql(f"ALTER TABLE messages ALTER COLUMN id RESTART WITH {start}")
        return first
