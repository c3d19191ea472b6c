"""Every route of session is served."""

from collections import Counter
from typing import Any, cast

from services.session.router import route
from services.session.service.accounts import AccountProfiles
from services.session.service.announcements import SystemNotices
from services.session.service.chats import Chats
from services.session.service.friends import Friends
from services.session.service.hook_delivery import HookDelivery
from services.session.service.hooks import Hooks
from services.session.service.made import MadeByAccounts
from services.session.service.memberships import Memberships
from services.session.service.moderation import Moderation
from services.session.service.outgoing_hooks import OutgoingHooks
from services.session.service.reports import Reports
from shared.bus.client import Bus
from shared.bus.neighbours import Neighbours
from shared.contract.subjects import DESCRIBE_SESSION_DATABASE, ROUTES


class Served:
    """The bus, as far as the router sees it."""

    def __init__(self) -> None:
        self.subjects = Counter[str]()
        self.gated: set[str] = set()

    def serve(self, route: Any, handler: Any, *, queue: str) -> None:
        assert queue == "session"
        self.subjects[route.subject] += 1
        if handler.__name__ == "handle":
            self.gated.add(route.subject)

    def consume(self, *_: object) -> None: ...


def _empty(kind: Any) -> Any:
    return kind.__new__(kind)


def test_each_route_is_served_once_and_what_gives_numbers_waits() -> None:
    bus = Served()
    neighbours = Neighbours(cast(Bus, bus), "session", cast(Any, None))
    kinds = (Friends, Hooks, MadeByAccounts, Memberships, Moderation, OutgoingHooks, Reports)
    others: list[object] = [_empty(kind) for kind in kinds]
    accounts, chats, system = _empty(AccountProfiles), _empty(Chats), _empty(SystemNotices)
    route(cast(Bus, bus), neighbours, accounts, chats, system, _empty(HookDelivery), *others)
    assert DESCRIBE_SESSION_DATABASE.subject in bus.subjects
    assert bus.subjects == Counter(route.subject for route in ROUTES if route.subject.startswith("session."))
    assert bus.gated == {"session.create_chat", "session.open_private_chat", "session.admin.notices"}
