"""The message service, search, files that messages show, and webhooks that post messages to programs."""

from pathlib import Path

from pydantic import Field, SecretStr

from shared.setting_types import Network, SettingsSection


class MessageSettings(SettingsSection):
    batch_rows: int = Field(512, ge=1, description="messages per transaction, at most")
    queue_seconds: float = Field(1.5, gt=0, description="messages that would wait longer are rejected at once")
    broadcast_members: int = Field(
        512, ge=1, description="members from which on notices of changes in a chat go to all edges"
    )
    broadcast_members_per_edge: int = Field(
        64, ge=1, description="members for each edge without one of them, from which on a message goes to all edges"
    )
    pushed_per_chat: int = Field(
        10_000, ge=1, description="newest messages of a chat that are pushed at a login; its user is told of older ones"
    )
    unread_per_chat: int = Field(1_000, ge=1, description="unread messages of a chat that are counted, at most")
    delivered_ranges: int = Field(
        1_000,
        ge=1,
        description="ranges of delivered messages above the first undelivered one, per account and chat; of more, the "
        "shortest are forgotten, and delivered again",
    )
    reply_bytes: int = Field(448 * 1024, ge=1, le=448 * 1024, description="pages of a reply are filled up to this size")
    partitions: int = Field(
        256,
        ge=1,
        le=4096,
        description="of chats, shared out to the replicas; the same for message and edges, as long as they exist",
    )
    owner_cores: float = Field(
        0.6,
        ge=0,
        description="one more replica owns chats for each so many cores that all replicas use together; "
        "the others are spares, which cost little; 0: all replicas own chats, whatever the load",
    )
    retention_days: float = Field(0.0, ge=0, description="life of a message's content; 0: for ever")
    edit_seconds: float = Field(172_800.0, ge=0, description="a sender may edit a message for so long; 0: never")
    recall_seconds: float = Field(172_800.0, ge=0, description="a sender may recall a message for so long; 0: never")


class SearchSettings(SettingsSection):
    enabled: bool = Field(True, description="users search their chats, and a process of search keeps the index")
    directory: Path = Field(Path(".dragoman/search"), description="of the index, on a disk of the process's own")
    memory_bytes: int = Field(
        64 * 2**20, ge=16 * 2**20, description="for messages that are indexed and not yet written, about"
    )


class MediaSettings(SettingsSection):
    """Storage of images and files: an S3 bucket if `bucket_url` is set, else `directory`."""

    directory: Path = Field(
        Path(".dragoman/media"),
        description="shared by all edges; with a bucket, each edge's own, for uploads in progress",
    )
    bucket_url: str = Field("", pattern=r"^(s3://[a-z0-9.-]+(/.*)?)?$", description="s3://bucket/prefix of files")
    endpoint: str = Field("", pattern="^(https?://.+)?$", description="http(s)://host:port of S3; empty: Amazon's")
    region: str = Field("", description="of the bucket; empty: AWS_REGION")
    access_key: SecretStr = Field(SecretStr(""), description="empty: AWS_ACCESS_KEY_ID, or the machine's role")
    secret_key: SecretStr = Field(SecretStr(""), description="of `access_key`")
    timeout_seconds: float = Field(30.0, gt=0, description="for storing or finding one file, and for each piece of it")
    account_bytes_per_day: int = Field(0, ge=0, description="that an account may store; 0: any number")
    total_bytes: int = Field(0, ge=0, description="that all files may take together; 0: any number")
    retention_days: float = Field(
        0.0, ge=0, description="life of a file, save for avatars; 0: as message.retention_days"
    )
    unposted_days: float = Field(
        0.0, ge=0, description="life of a file that no message or profile shows; 0: as any other"
    )
    unfinished_days: float = Field(1.0, gt=0, description="life of a resumable upload, from its creation")


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
