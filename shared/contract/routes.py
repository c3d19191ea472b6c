"""How a request is sent: its route stands in the request's type, next to its fields."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

from shared.contract.ids import AccountId

Q = TypeVar("Q")
R = TypeVar("R")


@dataclass(frozen=True)
class Route(Generic[Q, R]):
    """A request/reply subject, which begins with the service. `reply` may be a union; a Failure is always possible as
    well. `reads`: the request has no lasting effect."""

    subject: str
    request: type[Q]
    reply: type[R]
    template: str = ""
    """The common pattern of a subject with a variable part."""
    reads: bool = False

    @cached_property
    def label(self) -> str:
        """A label of low cardinality, for metrics."""
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
        """For type checkers: the attribute is the route itself."""
        raise NotImplementedError


class HasRoute(Protocol[R]):
    """A request whose type declares its route."""

    @property
    def route(self) -> Route[Any, R]: ...


class Forwarded(msgspec.Struct):
    """A user's request that an edge passes on as it is: only the `actor` is added. It has that field and a `route`, and
    a `nonce` if the client may name the request, to repeat it."""

    route: ClassVar[Route[Any, Any]]

    @property
    def route_now(self) -> Route[Any, Any]:
        """The route of this request, if the type has several."""
        return self.route

    def set_actor(self, actor: AccountId) -> None:
        self.actor = actor


class SendRequest(Protocol):
    """Sends requests to other services, as Bus.request does. Raises RequestError."""

    async def __call__(
        self, route: Route[Q, R], request: Q, *, seconds: float = ..., retry: bool = ..., nonce: str = ...
    ) -> R: ...


class Ack(msgspec.Struct, frozen=True):
    """The request is fulfilled, now or by an earlier request."""
