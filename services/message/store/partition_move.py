"""Moves partitions from one database to another while both serve.

The steps: record the move in both databases; copy all rows while triggers record the changes of the source, and copy
these; take the partitions from the source's placement, so that nothing changes any more; copy the last changes; add the
partitions to the target's placement; delete the copies that the source has. Each step is a transaction or idempotent,
and the databases tell how far an interrupted command has come, so the same command goes on from there. The source gives
partitions up before the target gets them: no two databases ever serve one.
"""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Set
from contextlib import ExitStack
from functools import partial

import sqlalchemy as sa

from services.message.store.copying import TRANSIENT, RangeCopy, TooSlow, read, retry, write
from services.message.store.moves import (
    Move,
    MoveError,
    delete_move,
    limit_lock_waits,
    load_move,
    record_changes,
    require_token,
    save_move,
    stop_recording,
)
from services.message.store.placement import StoredPlacement, describe, load, lock, require_placement, save
from services.message.store.placing import open_engine
from shared.migrate import require_current
from shared.placement import format_ranges, parse_ranges, to_partitions, to_ranges

_ROUND_SECONDS = 0.3
"""When copying the changes takes no longer, the last ones can be copied while the partitions are not served."""
_ROUNDS = 50
_UNSERVED_SECONDS = 1.5
"""For copying the last changes; then the source serves the partitions again."""
_ATTEMPTS = 5

Report = Callable[[str], None]


def describe_all(urls: Mapping[str, str], partitions: int) -> list[str]:
    """A line for what each database serves, and for each unfinished move. Raises NotMigrated, NotPlaced, MoveError."""
    with ExitStack() as stack:
        engines = {name: stack.enter_context(open_engine(url)) for name, url in urls.items()}
        placements, moves = _load_all(engines, partitions)
    lines = [describe(stored) for stored in placements.values()]
    return lines + [f"{move} is unfinished" for move in dict.fromkeys(moves.values())]


def settled_placements(urls: Mapping[str, str], partitions: int) -> list[str]:
    """A line for what each database serves. Raises MoveError while a move is unfinished; and as `describe_all`."""
    with ExitStack() as stack:
        engines = {name: stack.enter_context(open_engine(url)) for name, url in urls.items()}
        placements, moves = _load_all(engines, partitions)
    for move in moves.values():
        raise MoveError(f"{move} is unfinished: finish it first, or give it up")
    return [describe(stored) for stored in placements.values()]


def move_partitions(
    urls: Mapping[str, str], partitions: int, moved: str, target: str, report: Report, *, give_up: bool = False
) -> None:
    """Move the partitions `moved` (ranges as text) to the database `target`, or go on with an interrupted move; with
    `give_up`, end it before its switch. `partitions`: see MessageSettings. `report` gets a line for each step. Raises
    MoveError, NotMigrated and NotPlaced, before anything has changed if the request is wrong, and
    sqlalchemy.exc.SQLAlchemyError."""
    with ExitStack() as stack:
        engines = {name: stack.enter_context(open_engine(url)) for name, url in urls.items()}
        placements, moves = _load_all(engines, partitions)
        move = find_move(placements, moves, _parse(moved, partitions), target)
        if move is None and give_up:
            raise MoveError(f"{target} serves partitions {moved} already: there is no move to give up")
        if move is None:
            report(f"{target} serves partitions {moved} already")
            return
        if give_up and move not in moves.values():
            raise MoveError(f"{move} has not begun")
        work = PartitionMove(move, engines[move.source], engines[move.target], partitions, report)
        work.begin()
        work.give_up() if give_up else work.run()


def _load_all(engines: Mapping[str, sa.Engine], partitions: int) -> tuple[dict[str, StoredPlacement], dict[str, Move]]:
    """The placement of each database, and the unfinished move of each that takes part in one. Raises NotMigrated,
    NotPlaced, MoveError."""
    placements: dict[str, StoredPlacement] = {}
    moves: dict[str, Move] = {}
    for name, engine in engines.items():
        try:
            read(engine, partial(require_current, "message"))
            read(engine, require_placement, name, partitions)
            stored, move = read(engine, load), read(engine, load_move)
        except sa.exc.SQLAlchemyError as error:
            raise MoveError(f"the database {name} does not answer: {getattr(error, 'orig', error)}") from error
        assert stored is not None
        placements[name] = stored
        if move is not None:
            moves[name] = move
    return placements, moves


def _parse(moved: str, partitions: int) -> set[int]:
    """Raises MoveError."""
    try:
        chosen = to_partitions(parse_ranges(moved))
    except ValueError as error:
        raise MoveError(f"the partitions {error}") from error
    if not chosen:
        raise MoveError("no partitions are named")
    if max(chosen) >= partitions:
        raise MoveError(f"there is no partition {max(chosen)}: the last of {partitions} is {partitions - 1}")
    return chosen


def find_move(
    placements: Mapping[str, StoredPlacement], moves: Mapping[str, Move], chosen: Set[int], target: str
) -> Move | None:
    """The move of these partitions to the target; None if it serves them already. Pure. Raises MoveError."""
    if target not in placements:
        raise MoveError(f"message.databases has no database {target}, only {', '.join(placements)}")
    served = {name: to_partitions(stored.ranges) for name, stored in placements.items()}
    _require_one_each(served)
    for move in moves.values():
        if move.target == target and to_partitions(move.ranges) == chosen:
            return move
    if missing := chosen - set[int]().union(*served.values()):
        raise MoveError(f"no database serves partitions {_text(missing)}{_unfinished(moves.values())}")
    sources = [name for name, own in served.items() if own & chosen]
    if sources == [target]:
        return None
    if len(sources) > 1:
        parts = ", ".join(f"{_text(served[name] & chosen)} in {name}" for name in sources)
        raise MoveError(f"the partitions are not in one database, but {parts}: move those of each separately")
    move = Move(sources[0], target, _text(chosen))
    if others := [moves[name] for name in (move.source, move.target) if name in moves]:
        raise MoveError(f"a database takes part in one move at a time{_unfinished(others)}")
    return move


def _require_one_each(served: Mapping[str, Set[int]]) -> None:
    taken: dict[int, str] = {}
    for name, own in served.items():
        for partition in sorted(own):
            if (other := taken.setdefault(partition, name)) != name:
                raise MoveError(f"the databases {other} and {name} both serve partition {partition}")


def _text(partitions: Iterable[int]) -> str:
    return format_ranges(to_ranges(partitions))


def _unfinished(moves: Iterable[Move]) -> str:
    return "".join(f"; {move} is unfinished: finish it, or give it up (--abort)" for move in dict.fromkeys(moves))


class PartitionMove:
    """One command's work on a move. Raises MoveError and sqlalchemy.exc.SQLAlchemyError; interrupted at any point,
    another command goes on from there."""

    def __init__(self, move: Move, source: sa.Engine, target: sa.Engine, partitions: int, report: Report) -> None:
        self._move = move
        self._source = source
        self._target = target
        self._chosen = to_partitions(move.ranges)
        self._report = report
        self._token = secrets.token_hex(8)
        self._copy = RangeCopy(source, target, self._chosen, partitions, self._token)

    def begin(self) -> None:
        """Record the move. An earlier command that still runs cannot write any more."""
        for engine in (self._target, self._source):
            retry(partial(write, engine, save_move, self._move, self._token))

    def run(self) -> None:
        if not self._is_served(self._target):
            if self._is_served(self._source):
                self._copy_rows()
            self._switch()
        self._report(
            f"{self._move.target} serves partitions {self._move.moved}: deleting them from {self._move.source}"
        )
        self._stop_recording()
        self._copy.delete_from_source()
        self._forget()
        self._report(f"partitions {self._move.moved} are moved from {self._move.source} to {self._move.target}")

    def give_up(self) -> None:
        if self._is_served(self._target):
            raise MoveError(
                f"{self._move.target} serves partitions {self._move.moved} already: finish the move, and move them back"
            )
        self._give_back()
        self._report(f"{self._move.source} serves partitions {self._move.moved}: deleting the copies")
        self._stop_recording()
        self._copy.delete_from_target()
        self._forget()
        self._report(f"{self._move} is given up")

    # Steps

    def _copy_rows(self) -> None:
        self._report(f"copying partitions {self._move.moved} from {self._move.source} to {self._move.target}")
        self._change(self._source, record_changes)
        self._copy.copy_all()
        self._report(f"copied {self._copy.messages} messages: copying and comparing changes")
        self._catch_up()
        self._copy.verify()

    def _catch_up(self) -> None:
        for _ in range(_ROUNDS):
            began = time.monotonic()
            self._copy.copy_changes()
            if time.monotonic() - began < _ROUND_SECONDS:
                return

    def _switch(self) -> None:
        for _ in range(_ATTEMPTS):
            if (version := self._copy_last_changes()) is not None:
                return self._serve_by_target(version)
            self._report(f"the last changes were not copied in time: {self._move.source} serves the partitions again")
            self._catch_up()
        raise MoveError(
            f"the chats change faster than they are copied: {self._move.source} serves them; repeat the command at a "
            "quieter time, or give the move up (--abort) and move fewer partitions at once"
        )

    def _copy_last_changes(self) -> int | None:
        """The version of the source's placement, when nothing is left to copy and no database serves the partitions.
        None when the source serves them again."""
        try:
            self._assign(self._source, lambda served: served - self._chosen)
            self._copy.copy_changes(time.monotonic() + _UNSERVED_SECONDS)
            read(self._target, load)  # it answers, so that it can serve them
            return self._load(self._source).version
        except (TooSlow, *TRANSIENT):
            self._give_back()
            return None
        except BaseException:
            self._give_back()
            raise

    def _serve_by_target(self, version: int) -> None:
        """From here on there is no way back: whether a failed transaction was committed is unknown."""
        try:
            self._assign(self._target, lambda served: served | self._chosen, above=version)
        except TRANSIENT as error:
            raise MoveError(
                f"{self._move.target} does not answer, and no database serves partitions {self._move.moved}: repeat "
                "the command at once when it does"
            ) from error

    def _give_back(self) -> None:
        self._assign(self._source, lambda served: served | self._chosen)

    def _stop_recording(self) -> None:
        self._change(self._source, stop_recording)
        self._copy.delete_all_changes()

    def _forget(self) -> None:
        for engine in (self._target, self._source):
            self._change(engine, delete_move)

    # Transactions

    def _change(self, engine: sa.Engine, work: Callable[[sa.Connection], None]) -> None:
        """`work` is idempotent."""

        def change(connection: sa.Connection) -> None:
            require_token(connection, self._token)
            work(connection)

        retry(partial(write, engine, change))

    def _assign(self, engine: sa.Engine, change: Callable[[Set[int]], Set[int]], above: int = 0) -> None:
        """Change what a database serves; its version becomes higher than `above`. No transaction that goes by the
        former placement is left afterwards."""

        def assign(connection: sa.Connection) -> None:
            limit_lock_waits(connection)
            lock(connection)
            stored = load(connection)
            assert stored is not None
            before = to_partitions(stored.ranges)
            if (after := change(before)) != before:
                save(connection, stored._replace(version=max(stored.version, above) + 1, served=_text(after)))

        self._change(engine, assign)

    def _is_served(self, engine: sa.Engine) -> bool:
        return bool(to_partitions(self._load(engine).ranges) & self._chosen)

    def _load(self, engine: sa.Engine) -> StoredPlacement:
        stored = retry(partial(read, engine, load))
        assert stored is not None
        return stored
