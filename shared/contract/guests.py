"""Requests of guests to the auth service. A guest is an account without a secret, which is deleted when its connection
ends."""

import msgspec

from shared.contract.auth import Authenticated, Origin
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Scheme, Secret
from shared.contract.routes import Ack, Routed


class RegisterGuest(msgspec.Struct, kw_only=True):
    """Creates the account of a guest. `nick` becomes its username. For `guest` and `signature`, see Profile. Errors:
    `conflict` for a nick that is taken or looks like a taken one, `forbidden` if the server permits no guests,
    `unauthenticated` if `password` is not the server's password."""

    route = Routed("auth.register_guest", Authenticated)
    nick: str
    guest: str
    signature: str = ""
    origin: Origin = Origin()
    password: Secret = Secret(Scheme.PLAIN, "")


class GuestRenamed(msgspec.Struct, frozen=True):
    nickname: str


class RenameGuest(msgspec.Struct):
    """Gives a guest another nick. Errors: see RegisterGuest; `forbidden` if the account is no guest."""

    route = Routed("auth.rename_guest", GuestRenamed)
    nick: str
    actor: AccountId = NO_ACCOUNT


class KeepGuests(msgspec.Struct):
    """An edge reports that these guests are connected. A guest that no edge has reported for some minutes is
    deleted."""

    route = Routed("auth.keep_guests", Ack)
    accounts: list[AccountId]
