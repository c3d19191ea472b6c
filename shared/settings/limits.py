"""Rates, sizes and numbers that clients cannot exceed, by what they limit."""

from pydantic import Field

from shared.setting_types import SettingsSection

_MOST_MESSAGE_BYTES = 448 * 1024
"""NATS has room for it in a request, with others in a page, and with its recipients in a delivery."""


class Rates(SettingsSection):
    """Whether rates are limited."""

    rates: bool = Field(True, description="rate limits on (sizes are always limited)")


class ConnectionLimits(Rates):
    """Of connections, and of what comes over them."""

    requests_per_second: float = Field(50.0, gt=0, description="per connection and per account")
    requests_burst: int = Field(200, ge=1, description="requests at once, before the rate applies")
    requests_burst_before_login: int = Field(50, ge=1, description="requests at once on a connection without a login")
    requests_waiting: int = Field(
        2_000, ge=0, description="over the rate, of a connection, until they have their turn; more close it (1008)"
    )
    page_requests_per_second: float = Field(500.0, gt=0, description="per address: files, avatars, links; more get 429")
    page_requests_burst: int = Field(10_000, ge=1, description="such requests at once, before the rate applies")
    hook_messages_per_second: float = Field(1.0, gt=0, description="messages of a hook, at each edge")
    hook_messages_burst: int = Field(30, ge=1, description="messages of a hook at once, at each edge")
    links_per_second: float = Field(
        10.0, gt=0, description="per address: links of mails and hooks alone, which are looked up"
    )
    links_burst: int = Field(200, ge=1, description="links at once, before the rate applies")
    control_frames_per_second: float = Field(
        20.0, gt=0, description="pings, pongs and small fragments of a connection; more close it (1008)"
    )
    control_frames_burst: int = Field(200, ge=1, description="control frames at once, before the rate applies")
    received_bytes_per_second: int = Field(8 * 1024 * 1024, ge=1, description="of a connection; a faster one waits")
    receiving_bytes: int = Field(
        256 * 1024 * 1024, ge=1, description="incomplete messages of all connections of an edge; more are closed (1013)"
    )
    connections_per_address: int = Field(2_000, ge=1, description="open at one edge; more are closed (1013 or 429)")
    connections_per_account: int = Field(100, ge=1, description="logged in at one edge; more logins are rejected")
    new_connections_per_second: float = Field(100.0, gt=0, description="per address; more are closed (1013)")
    new_connections_burst: int = Field(2_000, ge=1, description="connections at once, before the rate applies")
    transport_frame_bytes: int = Field(2 * 1024 * 1024, ge=1, description="a larger frame closes the connection (1009)")
    unfinished_uploads: int = Field(10, ge=1, le=1_000, description="resumable uploads of an account, not complete yet")


class AccountLimits(Rates):
    """Of what an account, or an address, does in auth."""

    registrations_per_minute: int = Field(5, ge=1, description="per address")
    failed_logins_per_address: int = Field(20, ge=1, description="in 10 minutes")
    failed_logins_per_account: int = Field(5, ge=1, description="in 10 minutes, per address, for each identifier")
    failed_recoveries_per_account: int = Field(10, ge=1, description="wrong answers in a day, over all addresses")
    mails_per_address: int = Field(20, ge=1, description="requested per address of clients, in 10 minutes")
    searches_per_account: int = Field(100, ge=1, description="for other users by their names, in 10 minutes")
    exports_per_account: int = Field(10, ge=1, description="of the account's own data, in a day")
    hooks_per_account: int = Field(100, ge=1, description="incoming webhooks that an account makes, in a day")


class NameLimits(SettingsSection):
    """Of names that users choose, and of addresses of pictures."""

    nickname_characters: int = Field(64, ge=1, description="length of a nickname")
    group_name_characters: int = Field(128, ge=1, description="length of a group's name")
    topic_characters: int = Field(1_024, ge=1, description="length of a group's topic")
    address_url_bytes: int = Field(2 * 1024, ge=1, description="length of the address of an avatar or an outgoing hook")


class FrameLimits(Rates, NameLimits):
    """Of what a client may send in a frame."""

    text_frame_bytes: int = Field(
        64 * 1024, ge=1, le=_MOST_MESSAGE_BYTES, description="a larger text frame is rejected"
    )
    binary_frame_bytes: int = Field(1024 * 1024, ge=1, description="a larger binary frame is rejected")
    message_text_bytes: int = Field(
        16 * 1024, ge=1, le=_MOST_MESSAGE_BYTES, description="text of one message, as UTF-8"
    )
    segments_per_message: int = Field(64, ge=1, description="segments of one message")
    json_depth: int = Field(32, ge=4, description="nesting of a frame's JSON")
    file_bytes: int = Field(100 * 1024 * 1024, ge=1, description="size of an image or file")


class BotLimits(NameLimits):
    """Of bots."""

    bots_per_account: int = Field(
        20, ge=0, le=100, description="bots that an account makes; 0: only operators make bots"
    )
    tokens_per_bot: int = Field(10, ge=1, le=100, description="valid tokens of a bot")


class GroupLimits(NameLimits):
    """Of what session stores for an account or a group."""

    members_per_group: int = Field(100_000, ge=2, description="the lobby has no limit")
    members_listed: int = Field(10_000, ge=2, description="members in one reply")
    chats_per_account: int = Field(1_000, ge=1, description="groups an account may be in")
    requests_pending: int = Field(1_000, ge=1, description="unanswered friend and membership requests of an account")
    blocks_per_account: int = Field(1_000, ge=1, le=10_000, description="accounts that an account blocks")
    reports_per_account: int = Field(100, ge=1, le=1_000, description="open reports to the operator from an account")
    links_per_group: int = Field(100, ge=1, le=1_000, description="by which accounts join a group")
    hooks_per_group: int = Field(20, ge=1, le=1_000, description="by which programs post to a group")
    outgoing_hooks_per_group: int = Field(5, ge=1, le=100, description="which post a group's messages to programs")
    bans_per_group: int = Field(1_000, ge=1, le=10_000, description="accounts that a group bans")
    silenced_per_group: int = Field(500, ge=1, le=1_000, description="silenced members of a group")


class LimitsSettings(GroupLimits, BotLimits, FrameLimits, AccountLimits, ConnectionLimits):
    """All of them, as users set them. A class takes those that it needs."""
