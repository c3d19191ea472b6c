"""Outgoing hooks."""

from pydantic import Field

from shared.setting_types import Network, SettingsSection


class OutgoingHookSettings(SettingsSection):
    enabled: bool = Field(
        False, description="admins of groups let session post messages to addresses outside; needs its way out"
    )
    permitted_networks: list[Network] = Field(
        [], description="own networks to which hooks may post, also by http://; all others must be public"
    )
    timeout_seconds: float = Field(10.0, gt=0, le=60, description="for one request, from the look-up of the name on")
    concurrent: int = Field(
        16,
        ge=1,
        le=1_000,
        description="quick turns of hooks at once, in each process of session; slow ones have 8 times as many places",
    )
    longest_pause_seconds: float = Field(
        3600.0, gt=0, description="between two attempts; the first pause is a second, each further one twice as long"
    )
    give_up_seconds: float = Field(
        259_200.0, gt=0, description="of failed attempts, after which a hook stops and becomes a dead letter"
    )
    check_seconds: float = Field(
        30.0, gt=0, description="between searches for messages of which no event told; a crash loses events"
    )
