"""The subjects that the session service serves, and the use case behind each."""

from collections.abc import Awaitable
from typing import Any

import msgspec

from services.session import domain
from services.session.service.accounts import AccountProfiles
from services.session.service.announcements import Announcements
from services.session.service.chats import Chats
from services.session.service.push_delivery import PushDelivery
from services.session.service.webhook_delivery import WebhookDelivery
from shared.bus.client import Bus
from shared.bus.neighbours import Neighbours
from shared.bus.serving import Handler, routes_of
from shared.contract import subjects as on
from shared.contract.members import SetChat

_QUEUE = "session"


def route(
    bus: Bus,
    neighbours: Neighbours,
    accounts: AccountProfiles,
    chats: Chats,
    system: Announcements,
    delivery: WebhookDelivery,
    push: PushDelivery,
    *others: object,
) -> None:
    """Registers the handlers of the session service's requests. Each public method of a use case serves the route of
    its request."""
    give_numbers: tuple[Handler, ...] = (chats.create_chat, chats.open_private_chat, system.open_announcements)
    without_login: tuple[Handler, ...] = (accounts.get_account, chats.get_chat)
    for served, handler in [*routes_of(accounts, chats, system, *others), (SetChat.rules_route, chats.set_chat)]:
        checked = _checked(served.request, handler, needs_login=handler not in without_login)
        bus.serve(served, neighbours.gated(checked) if handler in give_numbers else checked, queue=_QUEUE)
    bus.serve(on.ERASE_PROFILE, accounts.erase_account, queue=_QUEUE)
    bus.consume(on.ACCOUNT_REGISTERED, accounts.account_registered)
    bus.consume(on.BOT_REGISTERED, accounts.account_registered)
    bus.consume(on.ACCOUNT_DELETED, accounts.account_deleted)
    bus.consume(on.OUTGOING_WEBHOOKS_DUE, delivery.messages_posted)
    bus.consume(on.PUSH_DUE, push.messages_posted)


def _checked(kind: type[msgspec.Struct], handler: Handler, *, needs_login: bool) -> Handler:
    """The handler, after the checks that nearly all requests need: of the actor, if the request has one, and of the
    chat, if the request must name one."""
    required = {field.name: field.required for field in msgspec.structs.fields(kind)}
    has_actor, has_chat = needs_login and "actor" in required, required.get("chat", False)

    def check_and_handle(request: Any) -> Awaitable[Any]:
        if has_actor:
            domain.check_actor(request.actor)
        if has_chat:
            domain.check_chat(request.chat)
        return handler(request)

    return check_and_handle
