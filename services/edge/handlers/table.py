"""The table of handlers: each class with handlers has a part of the dispatcher's table."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from services.edge.canonical.replies import Reply
from services.edge.client.session import LoginSession
from shared.contract.ids import AccountId

C = TypeVar("C")

Handle = Callable[[LoginSession, Any], Awaitable[Reply]]
Handlers = dict[type[Any], Handle]
"""The handlers by the command's type. Each may raise RequestError."""


def for_actor(handle: Callable[[C, AccountId], Awaitable[Reply]]) -> Handle:
    """The handler of a command for which all connections of the account are equal."""
    return lambda session, command: handle(command, session.connection.account)
