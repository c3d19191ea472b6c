"""The type of the table of handlers. Each class with handlers makes a part of the dispatcher's table."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from services.edge.canonical.replies import Reply
from services.edge.client.session import LoginSession
from shared.contract.ids import AccountId

C = TypeVar("C")

Handle = Callable[[LoginSession, Any], Awaitable[Reply]]
Handlers = dict[type[Any], Handle]
"""The handlers, by the type of the command. Each handler may raise RequestError."""


def for_actor(handle: Callable[[C, AccountId], Awaitable[Reply]]) -> Handle:
    """Make a handler for a command that does not depend on the connection, but only on the account."""
    return lambda session, command: handle(command, session.connection.account)
