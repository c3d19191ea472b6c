"""Tests commands about profiles and chats. The services are fakes that record requests."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec import UNSET, UnsetType

from services.edge.handlers.accounts import AccountHandler
from services.edge.media.store import MediaUse
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.members import SetChat
from shared.contract.model import Media, ProfileSummary
from shared.contract.routes import Ack
from shared.contract.session import CreateChat, SetProfile

ANN, CHAT, MEDIA = AccountId(1), ChatId(5), "0123456789abcdef" * 2
UNKNOWN = "0" * 32


class RecordingMedia:
    def __init__(self) -> None:
        self.used: list[tuple[str, MediaUse]] = []

    async def mark_used(self, id: str, use: MediaUse) -> Media | None:
        self.used.append((id, use))
        return None if id == UNKNOWN else Media(id, "a.png", 3, "ab" * 32, "image/png")


class AgreeingForwarder:
    def __init__(self) -> None:
        self.forwarded: list[Any] = []

    async def forward(self, command: object, actor: AccountId) -> Ack:
        self.forwarded.append(command)
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


@pytest.mark.parametrize(
    ("avatar", "given", "stored"),
    [
        (f"/media/{MEDIA}", UNSET, "ab" * 32),
        (f"/media/{MEDIA}", "", "ab" * 32),
        (f"/media/{MEDIA}", "abc", "abc"),
        ("https://a.png", UNSET, UNSET),
    ],
)
async def test_a_stored_picture_has_its_true_hash_unless_the_client_gives_one(
    avatar: str, given: str | UnsetType, stored: str | UnsetType
) -> None:
    forwarder = AgreeingForwarder()
    handler = AccountHandler(*cast(Any, (forwarder, {}, None, RecordingMedia(), None, None)))
    await handler.set_profile(SetProfile(ANN, avatar=avatar, avatar_hash=given), ANN)
    assert [command.avatar_hash for command in forwarder.forwarded] == [stored]


async def test_a_picture_that_does_not_exist_cannot_be_an_avatar() -> None:
    forwarder = AgreeingForwarder()
    handler = AccountHandler(*cast(Any, (forwarder, {}, None, RecordingMedia(), None, None)))
    avatar = f"/media/{UNKNOWN}"
    for command in (SetChat(CHAT, avatar=avatar), CreateChat([], avatar=avatar), SetProfile(ANN, avatar=avatar)):
        with pytest.raises(RequestError) as rejected:
            await handler.keep_avatar(command, ANN)
        assert rejected.value.failure.code is ErrorCode.INVALID
    assert forwarder.forwarded == []


async def test_a_new_real_name_of_a_guest_is_shown_before_the_reply() -> None:
    guest = SimpleNamespace(summary=ProfileSummary("Gus", "u1", 3, "gus", "~g", "old"))
    renamed: list[tuple[AccountId, ProfileSummary]] = []
    guests = SimpleNamespace(renamed=lambda *one: renamed.append(one))
    parts = AgreeingForwarder(), {ANN: guest}, None, None, None, guests
    await AccountHandler(*cast(Any, parts)).set_profile(SetProfile(ANN, signature="new"), ANN)
    assert renamed == [(ANN, ProfileSummary("Gus", "u1", 0, "gus", "~g", "new"))]
