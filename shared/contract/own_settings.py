"""The requests to the session service about an account's settings for all its devices. Clients and notifications obey
these settings."""

import msgspec
from msgspec import UNSET, UnsetType

from shared.contract.routes import Forwarded, Routed


class OwnSettings(msgspec.Struct, frozen=True):
    """The settings of an account for itself. `rev`: the number of changes; 0 if nothing was set yet. `language`: a BCP
    47 tag, or empty. Until `until` (Unix ms), clients alert the user of no messages. If a time zone (IANA) is set, they
    also alert of none daily between two times (HH:MM). `level`: the messages of which clients alert at other times:
    all, mentions or none."""

    rev: int = 0
    language: str = ""
    quiet_zone: str = ""
    quiet_from: str = ""
    quiet_to: str = ""
    until: int = 0
    level: str = "all"


class GetOwnSettings(Forwarded):
    """Requests the actor's settings."""

    route = Routed("session.settings", OwnSettings, reads=True)


class SetOwnSettings(Forwarded):
    """Changes the actor's settings. UNSET fields do not change. The edge must have checked the values. Error:
    `conflict` if `if_rev` is given and is not the present `rev`."""

    route = Routed("session.set_settings", OwnSettings)
    if_rev: int | None = None
    language: str | UnsetType = UNSET
    quiet_zone: str | UnsetType = UNSET
    quiet_from: str | UnsetType = UNSET
    quiet_to: str | UnsetType = UNSET
    until: int | UnsetType = UNSET
    level: str | UnsetType = UNSET
