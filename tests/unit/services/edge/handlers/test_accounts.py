"""Tests commands about profiles and chats. The services are fakes that record requests."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.edge.handlers.accounts import AccountHandler
from services.edge.media.store import MediaUse
from shared.contract.ids import AccountId, ChatId
from shared.contract.members import SetChat
from shared.contract.model import ProfileSummary
from shared.contract.routes import Ack
from shared.contract.session import CreateChat, SetProfile

ANN, CHAT, MEDIA = AccountId(1), ChatId(5), "0123456789abcdef" * 2


class RecordingMedia:
    def __init__(self) -> None:
        self.used: list[tuple[str, MediaUse]] = []

    async def mark_used(self, id: str, use: MediaUse) -> None:
        self.used.append((id, use))


class AgreeingForwarder:
    async def forward(self, command: object, actor: AccountId) -> Ack:
        return Ack()


@pytest.mark.parametrize(("avatar", "kept"), [(f"/media/{MEDIA}", [(MEDIA, MediaUse.AVATAR)]), ("https://a.png", [])])
async def test_the_picture_of_a_group_does_not_expire(avatar: str, kept: list[tuple[str, MediaUse]]) -> None:
    """This holds for a picture that the group has from the beginning, and for a later one."""
    media = RecordingMedia()
    parts = AgreeingForwarder(), None, None, media, None, None
    handler = AccountHandler(*cast(Any, parts))
    await handler.keep_avatar(SetChat(CHAT, avatar=avatar), ANN)
    assert media.used == kept
    await handler.keep_avatar(CreateChat([], avatar=avatar), ANN)
    assert media.used == kept * 2
    await handler.keep_avatar(SetChat(CHAT, topic="words"), ANN)
    assert media.used == kept * 2


async def test_a_new_real_name_of_a_guest_is_shown_before_the_reply() -> None:
    guest = SimpleNamespace(summary=ProfileSummary("Gus", "u1", 3, "gus", "~g", "old"))
    renamed: list[tuple[AccountId, ProfileSummary]] = []
    guests = SimpleNamespace(renamed=lambda *one: renamed.append(one))
    parts = AgreeingForwarder(), {ANN: guest}, None, None, None, guests
    await AccountHandler(*cast(Any, parts)).set_profile(SetProfile(ANN, signature="new"), ANN)
    assert renamed == [(ANN, ProfileSummary("Gus", "u1", 0, "gus", "~g", "new"))]
