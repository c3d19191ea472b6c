"""Settings of the message service, search, files in messages, webhooks that post messages to programs, and
notifications."""

from pathlib import Path

from pydantic import Field, SecretStr

from shared.setting_types import Network, PushContact, PushKeyText, SettingsSection


class MessageSettings(SettingsSection):
    batch_rows: int = Field(512, ge=1, description="number of messages that one transaction stores at most")
    queue_seconds: float = Field(
        1.5, gt=0, description="a message that would wait longer until it is stored is rejected at once"
    )
    broadcast_members: int = Field(
        512, ge=1, description="a chat with at least this many members sends its membership changes to all edges"
    )
    broadcast_members_per_edge: int = Field(
        64,
        ge=1,
        description="a message goes to all edges if its chat has this many members for each edge that has none of them",
    )
    pushed_per_chat: int = Field(
        10_000,
        ge=1,
        description="unread messages of a chat that a login pushes, the newest; users are told of older ones",
    )
    unread_per_chat: int = Field(1_000, ge=1, description="highest count of unread messages of a chat")
    delivered_ranges: int = Field(
        1_000,
        ge=1,
        description="ranges of delivered messages stored per account and chat, above the first undelivered one; "
        "with more, the messages of the shortest are delivered again",
    )
    reply_bytes: int = Field(448 * 1024, ge=1, le=448 * 1024, description="size of one page of a reply")
    partitions: int = Field(
        256,
        ge=1,
        le=4096,
        description="partitions of the chats; the same for all replicas and edges; never change it",
    )
    leader_cores: float = Field(
        0.6,
        ge=0,
        description="CPU cores that all replicas together use for each replica that leads chats; other replicas are "
        "standbys, which cost little; 0: all replicas lead chats",
    )
    retention_days: float = Field(0.0, ge=0, description="time for which the content of a message is kept; 0: for ever")
    edit_seconds: float = Field(172_800.0, ge=0, description="time for which a sender may edit a message; 0: never")
    recall_seconds: float = Field(172_800.0, ge=0, description="time for which a sender may recall it; 0: never")


class SearchSettings(SettingsSection):
    enabled: bool = Field(True, description="users can search their chats; needs a process of the search service")
    directory: Path = Field(
        Path(".dragoman/search"), description="directory of the index, on a disk that only this process uses"
    )
    memory_bytes: int = Field(
        64 * 2**20,
        ge=16 * 2**20,
        description="approximate memory for indexed messages that are not written to disk yet",
    )


class MediaSettings(SettingsSection):
    """Storage of images and files: an S3 bucket if `bucket_url` is set, else `directory`."""

    directory: Path = Field(
        Path(".dragoman/media"),
        description="directory that all edges share; with a bucket: each edge's own, for incomplete uploads",
    )
    bucket_url: str = Field("", pattern=r"^(s3://[a-z0-9.-]+(/.*)?)?$", description="s3://bucket/prefix of files")
    endpoint: str = Field(
        "", pattern="^(https?://.+)?$", description="http(s)://host:port of the S3 server; empty: Amazon's"
    )
    region: str = Field("", description="region of the bucket; empty: AWS_REGION")
    access_key: SecretStr = Field(
        SecretStr(""), description="access key of S3; empty: AWS_ACCESS_KEY_ID, or the machine's role"
    )
    secret_key: SecretStr = Field(SecretStr(""), description="secret key of `access_key`")
    timeout_seconds: float = Field(
        30.0, gt=0, description="time limit for storing or finding a file, and for each piece of it"
    )
    account_bytes_per_day: int = Field(
        0, ge=0, description="bytes of files that an account may store in a day; 0: any number"
    )
    total_bytes: int = Field(0, ge=0, description="bytes that all files together may take; 0: any number")
    retention_days: float = Field(
        0.0, ge=0, description="how long files are kept, except avatars; 0: as `message.retention_days`"
    )
    unposted_days: float = Field(
        0.0, ge=0, description="how long a file that no message or profile shows is kept; 0: like any other file"
    )
    unfinished_days: float = Field(1.0, gt=0, description="time for which an incomplete resumable upload is stored")


class OutgoingWebhookSettings(SettingsSection):
    enabled: bool = Field(
        False, description="groups' admins can create outgoing webhooks; session needs access to the Internet"
    )
    permitted_networks: list[Network] = Field(
        [], description="private networks to which webhooks may post, also by http://; other addresses must be public"
    )
    timeout_seconds: float = Field(
        10.0, gt=0, le=60, description="time limit for one request, including the DNS lookup"
    )
    concurrent: int = Field(
        16,
        ge=1,
        le=1_000,
        description="webhooks that a session process serves at the same time; slow ones: 8 times as many",
    )
    longest_pause_seconds: float = Field(
        3600.0,
        gt=0,
        description="longest pause between two attempts; the first is a second, each further one twice as long",
    )
    give_up_seconds: float = Field(
        259_200.0, gt=0, description="a webhook becomes a dead letter after attempts have failed for this time"
    )
    check_seconds: float = Field(
        30.0, gt=0, description="time between searches for messages whose event a crash has lost"
    )


class PushSettings(SettingsSection):
    enabled: bool = Field(
        True, description="notify devices by Web Push; session needs `push.key`, and access to the Internet"
    )
    key: PushKeyText = Field(
        SecretStr(""), description="private VAPID key of new subscriptions, as `dragoman secrets` makes it"
    )
    previous_key: PushKeyText = Field(
        SecretStr(""), description="private VAPID key of older subscriptions, after a rotation"
    )
    contact: PushContact = Field(
        "", description="https: or mailto: address at which push services reach the operator; empty: `edge.public_url`"
    )
    delay_seconds: float = Field(
        10.0, ge=0, le=600, description="a message that its recipient has read within this time notifies nobody"
    )
    content: str = Field(
        "full",
        pattern="^(full|sender|none)$",
        description="content of a notification: full (sender and text), sender, or none",
    )
    permitted_networks: list[Network] = Field(
        [], description="private networks in which push services may be; other addresses must be public"
    )
    own_services: list[str] = Field([], description="hosts of your own push services, which metrics and the alert name")
    timeout_seconds: float = Field(
        10.0, gt=0, le=60, description="time limit for one request, including the DNS lookup"
    )
    longest_pause_seconds: float = Field(3600.0, gt=0, description="longest pause between two attempts")
    mail_minutes: float = Field(
        0.0,
        ge=0,
        le=1_440,
        description="time after which unread messages are mailed to an account without a device, if its user wants "
        "mails; also the shortest time between two mails; 0: off",
    )
