"""Limits that clients cannot exceed. Each section has the limits of one subject."""

from shared.setting_types import SettingsSection, setting

_MOST_MESSAGE_BYTES = 448 * 1024
"""The most bytes of a message. A message of this size fits into one NATS message, both in requests and in
deliveries."""


class Rates(SettingsSection):
    """Whether rates are limited."""

    rates: bool = setting(True, "apply rate limits; size limits always apply")


class ConnectionLimits(Rates):
    """Limits of connections and of their requests."""

    requests_per_second: float = setting(50.0, "requests per second of a connection, and of an account", gt=0)
    requests_burst: int = setting(200, "requests at once, before the rate applies", ge=1)
    requests_burst_before_login: int = setting(50, "requests at once on a connection before its login", ge=1)
    requests_waiting: int = setting(
        2_000, "requests of a connection that wait because of the rate; more close it (1008)", ge=0
    )
    page_requests_per_second: float = setting(
        500.0, "HTTP requests per client address for files, avatars and links; more get 429", gt=0
    )
    page_requests_burst: int = setting(10_000, "HTTP requests at once, before the rate applies", ge=1)
    webhook_messages_per_second: float = setting(1.0, "messages that a webhook may post at each edge per second", gt=0)
    webhook_messages_burst: int = setting(
        30, "messages that a webhook may post at each edge at once, before the rate applies", ge=1
    )
    links_per_second: float = setting(
        10.0, "requests of a client address for links in mails and for webhooks, per second", gt=0
    )
    links_burst: int = setting(
        200, "requests for links in mails and for webhooks at once, before the rate applies", ge=1
    )
    control_frames_per_second: float = setting(
        20.0, "pings, pongs and small fragments of a connection; more close it (1008)", gt=0
    )
    control_frames_burst: int = setting(200, "control frames at once, before the rate applies", ge=1)
    received_bytes_per_second: int = setting(
        8 * 1024 * 1024, "bytes read from a connection per second; a faster one is read later", ge=1
    )
    receiving_bytes: int = setting(
        256 * 1024 * 1024, "bytes of incomplete messages at an edge; with more, connections are closed (1013)", ge=1
    )
    connections_per_address: int = setting(
        2_000, "connections of a client address at one edge; more are closed (1013 or 429)", ge=1
    )
    connections_per_account: int = setting(
        100, "logged-in connections of an account at one edge; more logins are rejected", ge=1
    )
    new_connections_per_second: float = setting(
        100.0, "new connections per client address; more are closed (1013)", gt=0
    )
    new_connections_burst: int = setting(2_000, "new connections at once, before the rate applies", ge=1)
    transport_frame_bytes: int = setting(2 * 1024 * 1024, "a larger frame closes the connection (1009)", ge=1)
    unfinished_uploads: int = setting(10, "incomplete resumable uploads of an account", ge=1, le=1_000)


class AccountLimits(Rates):
    """Limits that the auth service applies to an account or a client address."""

    registrations_per_minute: int = setting(5, "registrations per client address", ge=1)
    failed_logins_per_address: int = setting(20, "failed logins of a client address in 10 minutes", ge=1)
    failed_logins_per_account: int = setting(
        5, "failed logins of a client address with one identifier in 10 minutes", ge=1
    )
    failed_recoveries_per_account: int = setting(10, "wrong answers to an account's security question in a day", ge=1)
    mails_per_address: int = setting(20, "mails requested by a client address in 10 minutes", ge=1)
    searches_per_account: int = setting(100, "searches of an account for other users in 10 minutes", ge=1)
    exports_per_account: int = setting(10, "exports of an account's own data in a day", ge=1)
    incoming_webhooks_per_account: int = setting(100, "incoming webhooks that an account may create in a day", ge=1)


class NameLimits(SettingsSection):
    """Limits of names that users choose and of addresses."""

    nickname_characters: int = setting(64, "length of a nickname", ge=1)
    group_name_characters: int = setting(128, "length of a group's name", ge=1)
    topic_characters: int = setting(1_024, "length of a group's topic", ge=1)
    address_url_bytes: int = setting(2 * 1024, "length of the address of an avatar or an outgoing webhook", ge=1)


class FrameLimits(Rates, NameLimits):
    """Limits of frames that clients send."""

    text_frame_bytes: int = setting(64 * 1024, "a larger text frame is rejected", ge=1, le=_MOST_MESSAGE_BYTES)
    binary_frame_bytes: int = setting(1024 * 1024, "a larger binary frame is rejected", ge=1)
    message_text_bytes: int = setting(16 * 1024, "length of a message's text as UTF-8", ge=1, le=_MOST_MESSAGE_BYTES)
    segments_per_message: int = setting(64, "segments of one message", ge=1)
    json_depth: int = setting(32, "levels of nesting in a frame's JSON", ge=4)
    file_bytes: int = setting(100 * 1024 * 1024, "size of an image or file", ge=1)


class BotLimits(NameLimits):
    """Limits of bots."""

    bots_per_account: int = setting(20, "bots that an account may create; 0: only operators create bots", ge=0, le=100)
    tokens_per_bot: int = setting(10, "valid tokens of a bot", ge=1, le=100)


class GroupLimits(NameLimits):
    """Limits of chats and of data of accounts and groups."""

    members_per_group: int = setting(100_000, "members of a group; the lobby has no limit", ge=2)
    members_listed: int = setting(10_000, "members in one reply", ge=2)
    chats_per_account: int = setting(1_000, "groups that an account may be in", ge=1)
    requests_pending: int = setting(1_000, "unanswered friend and membership requests of an account", ge=1)
    blocks_per_account: int = setting(1_000, "accounts that an account may block", ge=1, le=10_000)
    reports_per_account: int = setting(100, "open reports of an account to the operator", ge=1, le=1_000)
    links_per_group: int = setting(100, "invitation links of a group", ge=1, le=1_000)
    incoming_webhooks_per_group: int = setting(20, "incoming webhooks of a group", ge=1, le=1_000)
    outgoing_webhooks_per_group: int = setting(5, "outgoing webhooks of a group", ge=1, le=100)
    subscriptions_per_account: int = setting(16, "devices of an account that are notified", ge=1, le=100)
    bans_per_group: int = setting(1_000, "banned accounts of a group", ge=1, le=10_000)
    silenced_per_group: int = setting(500, "silenced members of a group", ge=1, le=1_000)


class LimitsSettings(GroupLimits, BotLimits, FrameLimits, AccountLimits, ConnectionLimits):
    """All limits, as operators set them. Other classes take only the base class that has the limits that they need."""
