"""Requests of guests to auth. A guest is an account without a secret that ends with its connection."""

import msgspec

from shared.contract.auth import Authenticated, Origin
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Scheme, Secret
from shared.contract.routes import Ack, Routed


class RegisterGuest(msgspec.Struct, kw_only=True):
    """Creates the account of a guest, which has no secret and ends with its connection. `nick` is its username.
    `guest`, `signature`: as in Profile. Errors: `conflict` for a nick that is taken or looks like one, `forbidden`
    without guests, `unauthenticated` for another `password` than the server's."""

    route = Routed("auth.register_guest", Authenticated)
    nick: str
    guest: str
    signature: str = ""
    origin: Origin = Origin()
    password: Secret = Secret(Scheme.PLAIN, "")


class GuestRenamed(msgspec.Struct, frozen=True):
    nickname: str


class RenameGuest(msgspec.Struct):
    """Gives a guest another nick, as RegisterGuest does. Error: `forbidden` for another account."""

    route = Routed("auth.rename_guest", GuestRenamed)
    nick: str
    actor: AccountId = NO_ACCOUNT


class KeepGuests(msgspec.Struct):
    """These guests are connected. A guest that no edge has named for some minutes is deleted."""

    route = Routed("auth.keep_guests", Ack)
    accounts: list[AccountId]
