"""The subjects that the session service serves, and the use case behind each."""

from services.session.service.accounts import AccountProfiles
from services.session.service.announcements import Announcements
from services.session.service.chats import Chats
from services.session.service.push_delivery import PushDelivery
from services.session.service.webhook_delivery import WebhookDelivery
from shared.bus.client import Bus
from shared.bus.neighbours import Neighbours
from shared.bus.serving import routes_of
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
    give_numbers = (chats.create_chat, chats.open_private_chat, system.open_announcements)
    for served, handler in routes_of(accounts, chats, system, *others):
        bus.serve(served, neighbours.gated(handler) if handler in give_numbers else handler, queue=_QUEUE)
    bus.serve(SetChat.rules_route, chats.set_chat, queue=_QUEUE)
    bus.serve(on.ERASE_PROFILE, accounts.erase_account, queue=_QUEUE)
    bus.consume(on.ACCOUNT_REGISTERED, accounts.account_registered)
    bus.consume(on.BOT_REGISTERED, accounts.account_registered)
    bus.consume(on.ACCOUNT_DELETED, accounts.account_deleted)
    bus.consume(on.OUTGOING_WEBHOOKS_DUE, delivery.messages_posted)
    bus.consume(on.PUSH_DUE, push.messages_posted)
