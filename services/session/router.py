"""Which use case answers which subject."""

from services.session.service import Sessions
from shared.bus import Bus
from shared.contract import subjects as on

_QUEUE = "session"


def route(bus: Bus, sessions: Sessions) -> None:
    bus.serve(on.ENSURE_PROFILE, sessions.ensure_profile, queue=_QUEUE)
    bus.serve(on.GET_ACCOUNT, sessions.get_account, queue=_QUEUE)
    bus.serve(on.SET_PROFILE, sessions.set_profile, queue=_QUEUE)
    bus.serve(on.CREATE_CHAT, sessions.create_chat, queue=_QUEUE)
    bus.serve(on.GET_CHAT, sessions.get_chat, queue=_QUEUE)
    bus.serve(on.LIST_CHATS, sessions.list_chats, queue=_QUEUE)
    bus.serve(on.GET_MEMBERSHIP, sessions.get_membership, queue=_QUEUE)
    bus.serve(on.ERASE_PROFILE, sessions.erase_account, queue=_QUEUE)
    bus.consume(on.ACCOUNT_REGISTERED, sessions.account_registered)
    bus.consume(on.ACCOUNT_DELETED, sessions.account_deleted)
