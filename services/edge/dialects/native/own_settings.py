"""The dialect native: the operations on an account's settings, which all its devices share."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.dialects.base import DecodeError
from services.edge.dialects.native.operation import MANAGES, READ, READS, WRITE, Caller, Operation
from services.edge.dialects.native.shapes import Index, NoParameters, Parameters, UnixMs
from shared.clock import time_zone
from shared.contract.errors import Reason
from shared.contract.own_settings import GetOwnSettings, OwnSettings, SetOwnSettings

_Time = Annotated[str, msgspec.Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["22:00"])]
_Zone = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9+_/-]{1,64}$", examples=["Europe/Berlin"])]
Language = Annotated[str, msgspec.Meta(pattern="^([A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,6})?$", examples=["pt-BR"])]
Level = Literal["all", "mentions", "none"]


class Quiet(msgspec.Struct, rename={"start": "from", "end": "to"}):
    """The times of every day between which clients do not alert. `tz`: the IANA name of a time zone."""

    tz: _Zone
    start: _Time
    end: _Time


class SettingsResult(msgspec.Struct):
    """`rev`: the number of changes of the settings, which is 0 if nothing was set yet. `language`: the user's language,
    as a BCP 47 tag. Clients do not alert before `until` (Unix milliseconds) and in the `quiet` times. At other times,
    `level` decides for which messages clients alert: all, mentions or none. Muted chats restrict this further."""

    rev: int
    level: str
    language: str | UnsetType = UNSET
    quiet: Quiet | UnsetType = UNSET
    until: int | UnsetType = UNSET


class SetSettingsParameters(Parameters, kw_only=True):
    """The members are as in `settings`. A member that is left out does not change. An empty `language`, `quiet` null
    and `until` 0 remove the setting. If `if_rev` is not the present `rev` of the settings, the command is rejected
    (`conflict`)."""

    if_rev: Index | None = None
    language: Language | UnsetType = UNSET
    quiet: Quiet | UnsetType | None = UNSET
    until: UnixMs | UnsetType = UNSET
    level: Level | UnsetType = UNSET


class SetSettingsResult(msgspec.Struct):
    """The new `rev` of the settings."""

    rev: int


def settings_members(of: OwnSettings) -> tuple[int, str, str | UnsetType, Quiet | UnsetType, int | UnsetType]:
    """The values of a SettingsResult, in the order of its fields."""
    quiet = Quiet(of.quiet_zone, of.quiet_from, of.quiet_to) if of.quiet_zone else UNSET
    return of.rev, of.level, of.language or UNSET, quiet, of.until or UNSET


def settings(reply: OwnSettings, _: Caller) -> SettingsResult:
    return SettingsResult(*settings_members(reply))


def _set(wire: SetSettingsParameters, _: Caller) -> SetOwnSettings:
    changed = SetOwnSettings(wire.if_rev, wire.language, until=wire.until, level=wire.level)
    if wire.quiet is None:
        changed.quiet_zone = changed.quiet_from = changed.quiet_to = ""
    elif wire.quiet is not UNSET:
        if time_zone(wire.quiet.tz) is None:
            text = "`quiet.tz` must be a time zone that this server knows"
            raise DecodeError(text, field="quiet.tz", reason=Reason.CHOICE)
        changed.quiet_zone, changed.quiet_from, changed.quiet_to = wire.quiet.tz, wire.quiet.start, wire.quiet.end
    if changed == SetOwnSettings(wire.if_rev):
        raise DecodeError("there is nothing to change", field="level", reason=Reason.MISSING)
    return changed


OWN_SETTINGS_OPERATIONS = (
    Operation(
        "settings", "get the account's settings: the language, and which messages clients alert the user to",
        READ, READS, NoParameters, SettingsResult, lambda *_: GetOwnSettings(), settings,
    ),
    Operation(
        "set_settings", "change the account's settings on all devices",
        WRITE, MANAGES, SetSettingsParameters, SetSettingsResult, _set,
    ),
)  # fmt: skip
