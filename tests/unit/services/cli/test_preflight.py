"""The replicas of message that `dragoman up` starts."""

import pytest

from services.cli.options import OperatorError
from services.cli.preflight import message_replicas
from shared.settings import Settings

_SQLITE, _POSTGRESQL = "sqlite:///data/{service}.db", "postgresql+psycopg://server/{service}"
_SEVERAL = {
    "a": {"url": "postgresql+psycopg://server/a", "partitions": "0-127"},
    "b": {"url": "postgresql+psycopg://server/b", "partitions": "128-255"},
}


def _names(url: str, count: int, databases: object = None) -> list[str]:
    settings = Settings(database={"url": url}, message={"databases": databases or {}})
    return [one.name for one in message_replicas(settings, count)]


@pytest.mark.parametrize(
    ("url", "count", "names"),
    [
        (_SQLITE, 0, ["message"]),
        (_SQLITE, 1, ["message"]),
        (_POSTGRESQL, 0, ["message", "message-2"]),
        (_POSTGRESQL, 1, ["message"]),
        (_POSTGRESQL, 4, ["message", "message-2", "message-3", "message-4"]),
    ],
)
def test_message_has_as_many_replicas_as_requested(url: str, count: int, names: list[str]) -> None:
    assert _names(url, count) == names


def test_sqlite_has_one_writer() -> None:
    with pytest.raises(OperatorError, match="SQLite has one writer"):
        _names(_SQLITE, 2)


def test_each_of_several_databases_has_one_replica() -> None:
    assert _names(_POSTGRESQL, 0, _SEVERAL) == ["message-a", "message-b"]
    with pytest.raises(OperatorError, match="leave --replicas out"):
        _names(_POSTGRESQL, 2, _SEVERAL)
