"""Builds that are broken on purpose, to show that a drill can fail.

`python -m tests.drills.mutants NAME up …` is `dragoman up` whose one service is started through this module again,
which breaks it in its own process and then runs it as ever. Nothing of the product knows of it.
"""

import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

import sqlalchemy as sa

from services.cli.main import main
from services.cli.up_plan import PlannedProcess
from shared.contract.edge import Delivery
from shared.contract.ids import AccountId
from shared.contract.model import Message
from shared.database import Database

T = TypeVar("T")

_LATE_SECONDS = 3.0
_EVERY = 20


@dataclass(frozen=True)
class Breakage:
    """`apply` breaks the service in the process it is called in; `drill` must find `invariant` violated. The machine
    (tests/model) has none."""

    service: str
    invariant: str
    apply: Callable[[], None]
    drill: str = "kill"


class HastyDatabase(Database):
    """Writes are done, and answered, in a transaction that stays open; it is committed seconds later."""

    _connection: sa.Connection | None = None

    @property
    def commits_inline(self) -> bool:
        return False

    def _write(self, work: Callable[[sa.Connection], T], brief: bool = False) -> T:
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(begin="BEGIN IMMEDIATE")
            self._connection.begin()
            threading.Timer(_LATE_SECONDS, lambda: self._writers.submit(self._commit)).start()
        with self._connection.begin_nested():
            return work(self._connection)

    def _commit(self) -> None:
        if self._connection is not None:
            self._connection.commit()
            self._connection.close()
            self._connection = None


def _ack_before_commit() -> None:
    from services.message import app

    _put(app, "Database", HastyDatabase)


def _skip_recipient() -> None:
    from services.message.adapters import fanout

    is_bad = _one_in_many()

    def forgetful(message: Message, recipients: list[AccountId] | None, *more: Any) -> Delivery:
        others = [account for account in recipients or () if account != message.sender]
        if recipients and others and is_bad():
            recipients = [account for account in recipients if account != others[0]]
        return Delivery(message, recipients, *more)

    _put(fanout, "Delivery", forgetful)


def _double_delivery() -> None:
    from services.edge.client.client import Client
    from services.edge.dialects.encoded_message import EncodedMessage

    deliver, is_bad = Client.deliver, _one_in_many()

    def twice(client: Client, said: Sequence[EncodedMessage]) -> None:
        deliver(client, said)
        if client.session.catch_up.backlog is None:
            deliver(client, [encoded for encoded in said if is_bad()])

    _put(Client, "deliver", twice)


def _forget_read() -> None:
    from services.message.service.queries import MessageQueries
    from shared.contract.message import MarkRead
    from shared.contract.session import Ack

    mark = MessageQueries.mark_read

    async def forgetful(messages: MessageQueries, request: MarkRead) -> Ack:
        return await mark(messages, MarkRead([one for one in request.ranges if one.high % 2]))

    _put(MessageQueries, "mark_read", forgetful)


def _swap_neighbours() -> None:
    from services.edge.client.client import Client
    from services.edge.dialects.encoded_message import EncodedMessage

    deliver, is_bad, waiting = Client.deliver, _one_in_many(), dict[Client, Sequence[EncodedMessage]]()

    def late(client: Client, said: Sequence[EncodedMessage]) -> None:
        before = waiting.pop(client, ())
        if not before and is_bad():
            waiting[client] = said
        else:
            deliver(client, [*said, *before])

    _put(Client, "deliver", late)


def _abrupt_end() -> None:
    from services.edge.app import Edge

    async def drain(edge: Edge) -> None:
        os._exit(0)

    _put(Edge, "drain", drain)


def _forgetful_end() -> None:
    """What is found to have arrived at the end is not committed."""
    from services.edge.app import Edge
    from services.edge.receipts.read_state_flusher import ReadStateFlusher

    drain = Edge.drain

    async def forgetful(edge: Edge) -> None:
        _put(ReadStateFlusher, "mark_read", lambda *_: None)
        await drain(edge)

    _put(Edge, "drain", forgetful)


BREAKAGES = {
    "ack-before-commit": Breakage("message", "I1 durability", _ack_before_commit),
    "skip-recipient": Breakage("message", "I2 delivery", _skip_recipient),
    "double-delivery": Breakage("edge", "I2 once", _double_delivery),
    "swap-neighbours": Breakage("edge", "", _swap_neighbours, "machine"),
    "forget-read": Breakage("message", "", _forget_read, "machine"),
    "abrupt-end": Breakage("edge", "S2 drain", _abrupt_end, "scale"),
    "forgetful-end": Breakage("edge", "I2 once", _forgetful_end, "scale"),
}


def _one_in_many() -> Callable[[], bool]:
    """Whether this one is to be treated badly: the first of a process, however little is said, then one in so many."""
    numbers = count()
    return lambda: next(numbers) % _EVERY == 0


def _start_through_here(name: str) -> None:
    sound: Callable[[PlannedProcess], list[str]] = vars(PlannedProcess)["command"].fget

    def command(part: PlannedProcess) -> list[str]:
        broken = part.service == BREAKAGES[name].service
        return [sys.executable, "-m", "tests.drills.mutants", name, part.service] if broken else sound(part)

    _put(PlannedProcess, "command", property(command))


def _put(owner: object, name: str, value: object) -> None:
    """Behind the type checker's back: what is done here is wrong."""
    assert hasattr(owner, name), f"{owner} has no {name} to replace"
    setattr(owner, name, value)


if __name__ == "__main__":
    chosen = sys.argv.pop(1)
    if sys.argv[1] == "up":
        _start_through_here(chosen)
    else:
        BREAKAGES[chosen].apply()
    main()
