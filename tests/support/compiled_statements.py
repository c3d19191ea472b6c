"""Makes all engines of a test process compile each SQL statement once.

An engine caches what it has compiled. Most tests make a new engine, and compiling took a third of the CPU time of tests
of a store.
"""

from typing import Any

import sqlalchemy as sa


class _CompiledStatements(dict[Any, Any]):
    """A cache for all engines. SQLAlchemy's keys begin with the dialect of one engine, and these keys with its name."""

    def get(self, key: tuple[Any, ...], default: Any = None) -> Any:
        return super().get(_of_all_engines(key), default)

    def __setitem__(self, key: tuple[Any, ...], compiled: Any) -> None:
        super().__setitem__(_of_all_engines(key), compiled)


def _of_all_engines(key: tuple[Any, ...]) -> tuple[Any, ...]:
    dialect, *statement = key
    return (dialect.name, *statement)


def share_compiled_statements() -> None:
    """Makes all engines of this process share their compiled statements."""
    statements = _CompiledStatements()

    def use(connection: sa.Connection) -> None:
        connection.execution_options(compiled_cache=statements)

    sa.event.listen(sa.Engine, "engine_connect", use)
