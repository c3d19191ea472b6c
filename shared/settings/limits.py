"""Limits that clients cannot exceed. Each section has the limits of one subject."""

from pydantic import Field

from shared.setting_types import SettingsSection

_MOST_MESSAGE_BYTES = 448 * 1024
"""The most bytes of a message. A message of this size fits into one NATS message, both in requests and in
deliveries."""


class Rates(SettingsSection):
    """Whether rates are limited."""

    rates: bool = Field(True, description="apply rate limits; size limits always apply")


class ConnectionLimits(Rates):
    """Limits of connections and of their requests."""

    requests_per_second: float = Field(50.0, gt=0, description="requests per second of a connection, and of an account")
    requests_burst: int = Field(200, ge=1, description="requests at once, before the rate applies")
    requests_burst_before_login: int = Field(50, ge=1, description="requests at once on a connection before its login")
    requests_waiting: int = Field(
        2_000, ge=0, description="requests of a connection that wait because of the rate; more close it (1008)"
    )
    page_requests_per_second: float = Field(
        500.0, gt=0, description="HTTP requests per client address for files, avatars and links; more get 429"
    )
    page_requests_burst: int = Field(10_000, ge=1, description="HTTP requests at once, before the rate applies")
    webhook_messages_per_second: float = Field(
        1.0, gt=0, description="messages that a webhook may post at each edge per second"
    )
    webhook_messages_burst: int = Field(
        30, ge=1, description="messages that a webhook may post at each edge at once, before the rate applies"
    )
    links_per_second: float = Field(
        10.0, gt=0, description="requests of a client address for links in mails and for webhooks, per second"
    )
    links_burst: int = Field(
        200, ge=1, description="requests for links in mails and for webhooks at once, before the rate applies"
    )
    control_frames_per_second: float = Field(
        20.0, gt=0, description="pings, pongs and small fragments of a connection; more close it (1008)"
    )
    control_frames_burst: int = Field(200, ge=1, description="control frames at once, before the rate applies")
    received_bytes_per_second: int = Field(
        8 * 1024 * 1024, ge=1, description="bytes read from a connection per second; a faster one is read later"
    )
    receiving_bytes: int = Field(
        256 * 1024 * 1024,
        ge=1,
        description="bytes of incomplete messages at an edge; with more, connections are closed (1013)",
    )
    connections_per_address: int = Field(
        2_000, ge=1, description="connections of a client address at one edge; more are closed (1013 or 429)"
    )
    connections_per_account: int = Field(
        100, ge=1, description="logged-in connections of an account at one edge; more logins are rejected"
    )
    new_connections_per_second: float = Field(
        100.0, gt=0, description="new connections per client address; more are closed (1013)"
    )
    new_connections_burst: int = Field(2_000, ge=1, description="new connections at once, before the rate applies")
    transport_frame_bytes: int = Field(2 * 1024 * 1024, ge=1, description="a larger frame closes the connection (1009)")
    unfinished_uploads: int = Field(10, ge=1, le=1_000, description="incomplete resumable uploads of an account")


class AccountLimits(Rates):
    """Limits that the auth service applies to an account or a client address."""

    registrations_per_minute: int = Field(5, ge=1, description="registrations per client address")
    failed_logins_per_address: int = Field(20, ge=1, description="failed logins of a client address in 10 minutes")
    failed_logins_per_account: int = Field(
        5, ge=1, description="failed logins of a client address with one identifier in 10 minutes"
    )
    failed_recoveries_per_account: int = Field(
        10, ge=1, description="wrong answers to an account's security question in a day"
    )
    mails_per_address: int = Field(20, ge=1, description="mails requested by a client address in 10 minutes")
    searches_per_account: int = Field(100, ge=1, description="searches of an account for other users in 10 minutes")
    exports_per_account: int = Field(10, ge=1, description="exports of an account's own data in a day")
    incoming_webhooks_per_account: int = Field(
        100, ge=1, description="incoming webhooks that an account may create in a day"
    )


class NameLimits(SettingsSection):
    """Limits of names that users choose and of addresses."""

    nickname_characters: int = Field(64, ge=1, description="length of a nickname")
    group_name_characters: int = Field(128, ge=1, description="length of a group's name")
    topic_characters: int = Field(1_024, ge=1, description="length of a group's topic")
    address_url_bytes: int = Field(
        2 * 1024, ge=1, description="length of the address of an avatar or an outgoing webhook"
    )


class FrameLimits(Rates, NameLimits):
    """Limits of frames that clients send."""

    text_frame_bytes: int = Field(
        64 * 1024, ge=1, le=_MOST_MESSAGE_BYTES, description="a larger text frame is rejected"
    )
    binary_frame_bytes: int = Field(1024 * 1024, ge=1, description="a larger binary frame is rejected")
    message_text_bytes: int = Field(
        16 * 1024, ge=1, le=_MOST_MESSAGE_BYTES, description="length of a message's text as UTF-8"
    )
    segments_per_message: int = Field(64, ge=1, description="segments of one message")
    json_depth: int = Field(32, ge=4, description="levels of nesting in a frame's JSON")
    file_bytes: int = Field(100 * 1024 * 1024, ge=1, description="size of an image or file")


class BotLimits(NameLimits):
    """Limits of bots."""

    bots_per_account: int = Field(
        20, ge=0, le=100, description="bots that an account may create; 0: only operators create bots"
    )
    tokens_per_bot: int = Field(10, ge=1, le=100, description="valid tokens of a bot")


class GroupLimits(NameLimits):
    """Limits of chats and of data of accounts and groups."""

    members_per_group: int = Field(100_000, ge=2, description="members of a group; the lobby has no limit")
    members_listed: int = Field(10_000, ge=2, description="members in one reply")
    chats_per_account: int = Field(1_000, ge=1, description="groups that an account may be in")
    requests_pending: int = Field(1_000, ge=1, description="unanswered friend and membership requests of an account")
    blocks_per_account: int = Field(1_000, ge=1, le=10_000, description="accounts that an account may block")
    reports_per_account: int = Field(100, ge=1, le=1_000, description="open reports of an account to the operator")
    links_per_group: int = Field(100, ge=1, le=1_000, description="invitation links of a group")
    incoming_webhooks_per_group: int = Field(20, ge=1, le=1_000, description="incoming webhooks of a group")
    outgoing_webhooks_per_group: int = Field(5, ge=1, le=100, description="outgoing webhooks of a group")
    subscriptions_per_account: int = Field(16, ge=1, le=100, description="devices of an account that are notified")
    bans_per_group: int = Field(1_000, ge=1, le=10_000, description="banned accounts of a group")
    silenced_per_group: int = Field(500, ge=1, le=1_000, description="silenced members of a group")


class LimitsSettings(GroupLimits, BotLimits, FrameLimits, AccountLimits, ConnectionLimits):
    """All limits, as operators set them. Other classes take only the base class that has the limits that they need."""
