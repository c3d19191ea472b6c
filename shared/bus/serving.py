"""The routes that use cases serve: each public method whose only parameter is a request serves the route of the
request's type."""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, get_type_hints

from shared.contract.routes import Route

Handler = Callable[[Any], Awaitable[Any]]


def routes_of(*use_cases: object) -> Iterator[tuple[Route[Any, Any], Handler]]:
    for use_case in use_cases:
        # Methods are found on the class, because an attribute of the object may be a method of another object, and a
        # compiled method has no signature.
        for name, _ in inspect.getmembers(type(use_case), inspect.iscoroutinefunction):
            if name.startswith("_"):
                continue
            method = getattr(use_case, name)
            needed = [one for one in inspect.signature(method).parameters.values() if one.default is one.empty]
            if len(needed) == 1:
                route = getattr(get_type_hints(method).get(needed[0].name), "route", None)
                if isinstance(route, Route):
                    yield route, method
