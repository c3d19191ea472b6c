"""Deliberately broken databases: they acknowledge data that they have not committed."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import sqlalchemy as sa

from shared.database import Database

T = TypeVar("T")

_LATE_SECONDS = 3.0
_SOON_SECONDS = 0.5


class LateCommitDatabase(Database):
    """Runs writes in an open transaction and acknowledges them. The transaction is committed seconds later."""

    _connection: sa.Connection | None = None

    @property
    def inline_is_quicker(self) -> bool:
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


class EarlyReplyDatabase(Database):
    """Acknowledges a write before it commits the write."""

    @property
    def inline_is_quicker(self) -> bool:
        return False

    def _write(self, work: Callable[[sa.Connection], T], brief: bool = False) -> T:
        with self._unavailable_on_error():
            connection = self._engine.connect()
            transaction = connection.begin()
            try:
                result = work(connection)
            except BaseException:
                connection.close()
                raise
        threading.Timer(_SOON_SECONDS, self._commit, (connection, transaction)).start()
        return result

    def _commit(self, connection: sa.Connection, transaction: sa.RootTransaction) -> None:
        with suppress(sa.exc.DBAPIError), connection:
            transaction.commit()
