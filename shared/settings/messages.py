"""Settings of the message service, search, files in messages, webhooks that post messages to programs, and
notifications."""

from pathlib import Path

from pydantic import SecretStr

from shared.setting_types import Network, PushContact, PushKeyText, SettingsSection, setting


class MessageSettings(SettingsSection):
    batch_rows: int = setting(512, "number of messages that one transaction stores at most", ge=1)
    queue_seconds: float = setting(1.5, "a message that would wait longer until it is stored is rejected at once", gt=0)
    broadcast_members: int = setting(
        512, "a chat with at least this many members sends its membership changes to all edges", ge=1
    )
    broadcast_members_per_edge: int = setting(
        64, "a message goes to all edges if its chat has this many members for each edge that has none of them", ge=1
    )
    pushed_per_chat: int = setting(
        10_000, "unread messages of a chat that a login pushes, the newest; users are told of older ones", ge=1
    )
    unread_per_chat: int = setting(1_000, "highest count of unread messages of a chat", ge=1)
    delivered_ranges: int = setting(
        1_000,
        "ranges of delivered messages stored per account and chat, above the first undelivered one; "
        "with more, the messages of the shortest are delivered again",
        ge=1,
    )
    reply_bytes: int = setting(448 * 1024, "size of one page of a reply", ge=1, le=448 * 1024)
    partitions: int = setting(
        256, "partitions of the chats; the same for all replicas and edges; never change it", ge=1, le=4096
    )
    leader_cores: float = setting(
        0.6,
        "CPU cores that all replicas together use for each replica that leads chats; other replicas are "
        "standbys, which cost little; 0: all replicas lead chats",
        ge=0,
    )
    retention_days: float = setting(0.0, "time for which the content of a message is kept; 0: for ever", ge=0)
    edit_seconds: float = setting(172_800.0, "time for which a sender may edit a message; 0: never", ge=0)
    recall_seconds: float = setting(172_800.0, "time for which a sender may recall it; 0: never", ge=0)


class SearchSettings(SettingsSection):
    enabled: bool = setting(True, "users can search their chats; needs a process of the search service")
    directory: Path = setting(Path(".dragoman/search"), "directory of the index, on a disk that only this process uses")
    memory_bytes: int = setting(
        64 * 2**20, "approximate memory for indexed messages that are not written to disk yet", ge=16 * 2**20
    )


class MediaSettings(SettingsSection):
    """Storage of images and files: an S3 bucket if `bucket_url` is set, else `directory`."""

    directory: Path = setting(
        Path(".dragoman/media"),
        "directory that all edges share; with a bucket: each edge's own, for incomplete uploads",
    )
    bucket_url: str = setting("", "s3://bucket/prefix of files", pattern=r"^(s3://[a-z0-9.-]+(/.*)?)?$")
    endpoint: str = setting("", "http(s)://host:port of the S3 server; empty: Amazon's", pattern="^(https?://.+)?$")
    region: str = setting("", "region of the bucket; empty: AWS_REGION")
    access_key: SecretStr = setting(SecretStr(""), "access key of S3; empty: AWS_ACCESS_KEY_ID, or the machine's role")
    secret_key: SecretStr = setting(SecretStr(""), "secret key of `access_key`")
    timeout_seconds: float = setting(30.0, "time limit for storing or finding a file, and for each piece of it", gt=0)
    account_bytes_per_day: int = setting(0, "bytes of files that an account may store in a day; 0: any number", ge=0)
    total_bytes: int = setting(0, "bytes that all files together may take; 0: any number", ge=0)
    retention_days: float = setting(
        0.0, "how long files are kept, except avatars; 0: as `message.retention_days`", ge=0
    )
    unposted_days: float = setting(
        0.0, "how long a file that no message or profile shows is kept; 0: like any other file", ge=0
    )
    unfinished_days: float = setting(1.0, "time for which an incomplete resumable upload is stored", gt=0)


class OutgoingWebhookSettings(SettingsSection):
    enabled: bool = setting(False, "groups' admins can create outgoing webhooks; session needs access to the Internet")
    permitted_networks: list[Network] = setting(
        [], "private networks to which webhooks may post, also by http://; other addresses must be public"
    )
    timeout_seconds: float = setting(10.0, "time limit for one request, including the DNS lookup", gt=0, le=60)
    concurrent: int = setting(
        16, "webhooks that a session process serves at the same time; slow ones: 8 times as many", ge=1, le=1_000
    )
    longest_pause_seconds: float = setting(
        3600.0, "longest pause between two attempts; the first is a second, each further one twice as long", gt=0
    )
    give_up_seconds: float = setting(
        259_200.0, "a webhook becomes a dead letter after attempts have failed for this time", gt=0
    )
    check_seconds: float = setting(30.0, "time between searches for messages whose event a crash has lost", gt=0)


class PushSettings(SettingsSection):
    enabled: bool = setting(True, "notify devices by Web Push; session needs `push.key`, and access to the Internet")
    key: PushKeyText = setting(SecretStr(""), "private VAPID key of new subscriptions, as `dragoman secrets` makes it")
    previous_key: PushKeyText = setting(SecretStr(""), "private VAPID key of older subscriptions, after a rotation")
    contact: PushContact = setting(
        "", "https: or mailto: address at which push services reach the operator; empty: `edge.public_url`"
    )
    delay_seconds: float = setting(
        10.0, "a message that its recipient has read within this time notifies nobody", ge=0, le=600
    )
    content: str = setting(
        "full", "content of a notification: full (sender and text), sender, or none", pattern="^(full|sender|none)$"
    )
    permitted_networks: list[Network] = setting(
        [], "private networks in which push services may be; other addresses must be public"
    )
    own_services: list[str] = setting([], "hosts of your own push services, which metrics and the alert name")
    timeout_seconds: float = setting(10.0, "time limit for one request, including the DNS lookup", gt=0, le=60)
    longest_pause_seconds: float = setting(3600.0, "longest pause between two attempts", gt=0)
    mail_minutes: float = setting(
        0.0,
        "time after which unread messages are mailed to an account without a device, if its user wants "
        "mails; also the shortest time between two mails; 0: off",
        ge=0,
        le=1_440,
    )
