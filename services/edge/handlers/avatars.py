"""Stored pictures that become avatars: they do not expire."""

from msgspec import UnsetType

from services.edge.media import MediaService
from services.edge.media.store import MediaUse

_PATH = "/media/"


class AvatarFiles:
    def __init__(self, media: MediaService) -> None:
        self._media = media

    async def keep(self, avatar: str | UnsetType) -> None:
        """`avatar`: an address as profiles and chats store it. Raises RequestError."""
        if isinstance(avatar, str) and avatar.startswith(_PATH):
            await self._media.mark_used(avatar.removeprefix(_PATH), MediaUse.AVATAR)
