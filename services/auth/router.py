"""Subject → use case."""

from services.auth.adapters.mailer import RETRY_SECONDS, Mailer
from services.auth.service.accounts import Accounts
from services.auth.service.administration import Administration
from services.auth.service.verification import EmailVerification
from shared.bus.client import Bus
from shared.contract import subjects as on

_QUEUE = "auth"
_SLOW = 2048
"""Logins under way: most of them wait in the bounded queue of the hashes, or for a delay."""


def route(bus: Bus, accounts: Accounts, verification: EmailVerification, mailer: Mailer) -> None:
    administration = Administration(accounts)
    bus.serve(on.REGISTER, accounts.register, queue=_QUEUE, concurrency=_SLOW)
    bus.serve(on.LOGIN, accounts.login, queue=_QUEUE, concurrency=_SLOW)
    bus.serve(on.RECOVER, accounts.recover, queue=_QUEUE, concurrency=_SLOW)
    bus.serve(on.SET_SECURITY, accounts.set_security, queue=_QUEUE, concurrency=_SLOW)
    bus.serve(on.LOGOUT, accounts.logout, queue=_QUEUE)
    bus.serve(on.DELETE_ACCOUNT, accounts.delete, queue=_QUEUE)
    bus.serve(on.SEND_VERIFICATION, verification.send, queue=_QUEUE)
    bus.serve(on.OPEN_VERIFICATION, verification.open, queue=_QUEUE)
    bus.serve(on.LIST_REVOCATIONS, accounts.list_revocations, queue=_QUEUE)
    bus.serve(on.GET_KEYS, accounts.get_keys, queue=_QUEUE)
    bus.serve(on.SET_MAINTENANCE, administration.set_maintenance, queue=_QUEUE)
    bus.serve(on.FIND_USER, administration.find, queue=_QUEUE)
    bus.serve(on.SET_DISABLED, administration.set_disabled, queue=_QUEUE)
    bus.serve(on.RESET_PASSWORD, administration.reset_password, queue=_QUEUE)
    bus.serve(on.KICK, administration.kick, queue=_QUEUE)
    bus.serve(on.DELETE_USER, administration.delete, queue=_QUEUE)
    bus.consume(on.MAIL_REQUESTED, mailer.deliver, pauses=RETRY_SECONDS)
