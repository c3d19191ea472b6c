"""Every route of auth is served."""

from collections import Counter
from typing import Any, cast, get_type_hints

from prometheus_client import CollectorRegistry

from services.auth.metrics import AuthMetrics
from services.auth.router import AuthUseCases, route
from shared.bus.client import CONCURRENCY, Bus
from shared.bus.neighbours import Neighbours
from shared.contract.auth import RecordTokenLogins
from shared.contract.subjects import ROUTES

MANY = {
    "auth.register", "auth.login", "auth.recover", "auth.recover_by_ticket", "auth.set_security",
    "auth.change_password",
}  # fmt: skip
"""The requests of which many may run at once. Most of them wait in the queue of hashes."""


class RoutedBus:
    """A fake bus with the methods that the router uses."""

    def __init__(self) -> None:
        self.subjects = Counter[str]()
        self.concurrency: dict[str, int] = {}
        self.wrapped: set[str] = set()

    def serve(self, route: Any, handler: Any, *, queue: str, concurrency: int = CONCURRENCY) -> None:
        assert queue == "auth"
        self.subjects[route.subject] += 1
        self.concurrency[route.subject] = concurrency
        if handler.__name__ == "handle":
            self.wrapped.add(route.subject)

    def consume(self, *_: object, **__: object) -> None: ...


def test_each_route_is_served_once_and_passwords_wait_in_their_own_queue() -> None:
    bus = RoutedBus()
    neighbours = Neighbours(cast(Bus, bus), "auth", cast(Any, None))
    use = AuthUseCases(**{name: kind.__new__(kind) for name, kind in get_type_hints(AuthUseCases).items()})
    route(cast(Bus, bus), use, cast(Any, None), AuthMetrics(CollectorRegistry()), neighbours)
    assert bus.subjects == Counter(route.subject for route in ROUTES if route.subject.startswith("auth."))
    assert {subject for subject, number in bus.concurrency.items() if number > CONCURRENCY} == MANY
    assert bus.concurrency[RecordTokenLogins.route.subject] == 1
    assert bus.wrapped == {
        "auth.register", "auth.login", "auth.recover", "auth.recover_by_ticket", "auth.create_bot",
        "auth.create_hook_account", "auth.admin.create_bot", "auth.register_guest",
    }  # fmt: skip
