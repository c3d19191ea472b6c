"""The operator's view of the partitions of message. It works on the databases themselves, with the rights of
`dragoman migrate`."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy.exc import SQLAlchemyError

from services.cli.options import OperatorError
from services.message.store.moves import MoveError
from services.message.store.partition_move import describe_all, move_partitions
from shared.errors import StartupError
from shared.settings import Settings


def describe(settings: Settings) -> list[str]:
    """Raises click.ClickException."""
    _require_several(settings)
    with _reported_errors():
        return describe_all(settings.message_database_urls(), settings.message.partitions)


def move(settings: Settings, ranges: str, target: str, *, give_up: bool) -> None:
    """Raises click.ClickException."""
    _require_several(settings)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # partitions that no database serves are given back first
    urls = settings.message_database_urls()
    with _reported_errors():
        move_partitions(urls, settings.message.partitions, ranges, target, click.echo, give_up=give_up)


def _require_several(settings: Settings) -> None:
    if not settings.message.databases:
        raise OperatorError("message has one database: name several in message.databases, and run `dragoman migrate`")


@contextmanager
def _reported_errors() -> Iterator[None]:
    try:
        yield
    except (MoveError, StartupError) as error:
        raise click.ClickException(str(error)) from error
    except SQLAlchemyError as error:
        raise click.ClickException(
            f"a database does not answer: {getattr(error, 'orig', error)}; repeat the command when it does"
        ) from error
