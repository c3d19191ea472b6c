"""The record of one address: its file, its owner and its use; and the rule by which it expires. Pure."""

from enum import IntEnum
from typing import NamedTuple

from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Media
from shared.settings import Settings

_DAY_MS = 86_400_000


class MediaUse(IntEnum):
    """Only grows."""

    UPLOADED = 0
    POSTED = 1
    """A message shows it, or is about to."""
    AVATAR = 2


class MediaRecord(Media, array_like=True, frozen=True):
    """As it is stored. `created`: Unix milliseconds. The version before neither writes nor reads the last three fields:
    its records have `created` 0."""

    account: AccountId = NO_ACCOUNT
    created: int = 0
    use: MediaUse = MediaUse.UPLOADED

    @property
    def media(self) -> Media:
        """What messages contain."""
        return Media(self.id, self.name, self.size, self.sha256, self.mime, self.packages)


class MediaRetention(NamedTuple):
    """In days; 0: for ever, save for `unfinished` uploads."""

    posted: float
    unposted: float
    unfinished: float = 1.0

    def expired(self, record: MediaRecord, now_ms: int) -> bool:
        """Avatars never expire, nor do records without a time, whose use is unknown."""
        if not record.created or record.use is MediaUse.AVATAR:
            return False
        limits = [self.posted] if record.use is MediaUse.POSTED else [self.posted, self.unposted]
        return any(days and record.created < now_ms - days * _DAY_MS for days in limits)


def retention(settings: Settings) -> MediaRetention:
    """Files expire with the messages, unless they have a time of their own."""
    return MediaRetention(
        settings.media.retention_days or settings.message.retention_days,
        settings.media.unposted_days,
        settings.media.unfinished_days,
    )
