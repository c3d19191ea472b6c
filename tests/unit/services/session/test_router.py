"""Every route of session is served."""

from collections import Counter
from typing import Any, cast

from services.session.router import route
from services.session.service.accounts import AccountProfiles, SettingsOfAccounts
from services.session.service.announcements import Announcements
from services.session.service.chats import Chats
from services.session.service.friends import Friends
from services.session.service.irc import Directory, GroupModes, Happenings, SubjectMetadata
from services.session.service.made import MadeByAccounts
from services.session.service.memberships import Memberships
from services.session.service.moderation import Moderation, Reports
from services.session.service.push_delivery import PushDelivery
from services.session.service.subscriptions import Subscriptions
from services.session.service.webhook_delivery import WebhookDelivery
from services.session.service.webhooks import IncomingWebhooks, OutgoingWebhooks
from shared.bus.client import Bus
from shared.bus.neighbours import Neighbours
from shared.contract.subjects import DESCRIBE_SESSION_DATABASE, ROUTES


class Served:
    """A fake bus with the methods that the router uses."""

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
    kinds = (
        Directory,
        Happenings,
        Friends,
        GroupModes,
        IncomingWebhooks,
        MadeByAccounts,
        Memberships,
        SubjectMetadata,
        Moderation,
        OutgoingWebhooks,
        Reports,
        SettingsOfAccounts,
        Subscriptions,
    )
    others: list[object] = [_empty(kind) for kind in kinds]
    accounts, chats, system = _empty(AccountProfiles), _empty(Chats), _empty(Announcements)
    route(cast(Bus, bus), neighbours, accounts, chats, system, _empty(WebhookDelivery), _empty(PushDelivery), *others)
    assert DESCRIBE_SESSION_DATABASE.subject in bus.subjects
    assert bus.subjects == Counter(route.subject for route in ROUTES if route.subject.startswith("session."))
    assert bus.gated == {"session.create_chat", "session.open_private_chat", "session.admin.notices"}
