"""Tests how many replicas of message `dragoman up` starts."""

import pytest

from local.options import OperatorError
from services.cli.preflight import message_replicas
from shared.settings import Settings

_SQLITE, _POSTGRESQL = "sqlite:///data/{service}.db", "postgresql+psycopg://server/{service}"


def _names(url: str, count: int) -> list[str]:
    settings = Settings(database={"url": url})
    return [one.name for one in message_replicas(settings, count)]


def test_message_has_as_many_replicas_as_requested() -> None:
    for url, count, names in (
        (_SQLITE, 0, ["message"]),
        (_SQLITE, 1, ["message"]),
        (_POSTGRESQL, 0, ["message", "message-2"]),
        (_POSTGRESQL, 1, ["message"]),
        (_POSTGRESQL, 4, ["message", "message-2", "message-3", "message-4"]),
    ):
        assert _names(url, count) == names


def test_sqlite_has_one_writer() -> None:
    with pytest.raises(OperatorError, match="need a database other than SQLite"):
        _names(_SQLITE, 2)
