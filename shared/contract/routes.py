"""Routes of requests. The type of a request declares the request's route in addition to its fields."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId

Q = TypeVar("Q")
R = TypeVar("R")


@dataclass(frozen=True)
class Route(Generic[Q, R]):
    """The subject of a request, and the types of the request and its reply. The subject begins with the service's name.
    The type of the reply may be a union. Any reply may be a Failure instead. `reads`: the request has no lasting
    effect."""

    subject: str
    request: type[Q]
    reply: type[R]
    template: str = ""
    """The common pattern of a subject with a variable part."""
    reads: bool = False

    @cached_property
    def label(self) -> str:
        """The name of the route in metrics. It has no variable part."""
        return self.template or self.subject


DECLARED: list[Route[Any, Any]] = []
"""The routes of all request types that are imported; see `shared.contract.subjects.ROUTES`."""


class Routed(Generic[R]):
    """Declares the route of a request in its type: `ListBans.route` is a Route[ListBans, BanList]."""

    def __init__(self, subject: str, reply: type[R], *, reads: bool = False) -> None:
        self._subject, self._reply, self._reads = subject, reply, reads

    def __set_name__(self, owner: type, name: str) -> None:
        route: Route[Any, R] = Route(self._subject, owner, self._reply, reads=self._reads)
        DECLARED.append(route)
        setattr(owner, name, route)

    def __get__(self, instance: object, owner: type[Q]) -> Route[Q, R]:
        """This method only tells type checkers that the attribute is the route itself."""
        raise NotImplementedError


class HasRoute(Protocol[R]):
    """A request whose type declares its route."""

    @property
    def route(self) -> Route[Any, R]: ...


class Forwarded(msgspec.Struct, kw_only=True):
    """A user's request that an edge passes on, and to which it adds only the `actor`. Such a request has a `route`, and
    a `nonce` if the client may repeat the request."""

    route: ClassVar[Route[Any, Any]]
    actor: AccountId = NO_ACCOUNT


class SendRequest(Protocol):
    """Sends requests to other services, as Bus.send does. Raises RequestError."""

    async def __call__(
        self, request: HasRoute[R], *, seconds: float = ..., retry: bool = ..., nonce: str = ...
    ) -> R: ...


class Ack(msgspec.Struct, frozen=True):
    """The command has succeeded now, or by an earlier request."""
