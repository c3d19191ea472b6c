"""The JSON of native's event `message`. Edges push it, and the session service posts it to outgoing webhooks."""

from typing import assert_never

import msgspec
from msgspec import UNSET, UnsetType

from shared.contract.body import unpack
from shared.contract.model import (
    Emoji,
    File,
    Image,
    Media,
    Mention,
    Message,
    ProfileSummary,
    Recalled,
    RichSegment,
    Text,
)


class MediaInfo(msgspec.Struct):
    """A stored file, which can be fetched from `url`. `width`, `height`: pixels of a picture as it is shown, if the
    size is known."""

    id: str
    name: str
    size: int
    sha256: str
    mime: str
    url: str
    width: int | UnsetType = UNSET
    height: int | UnsetType = UNSET


class ShownText(msgspec.Struct, tag_field="t", tag="text", gc=False):
    text: str


class ShownEmoji(msgspec.Struct, tag_field="t", tag="emoji"):
    id: int


class ShownImage(msgspec.Struct, tag_field="t", tag="image"):
    """`hash`: as in `send`. `preview`: the address of a smaller picture."""

    media: MediaInfo
    hash: str | UnsetType = UNSET
    preview: str | UnsetType = UNSET


class ShownFile(msgspec.Struct, tag_field="t", tag="file"):
    media: MediaInfo


class ShownMention(msgspec.Struct, tag_field="t", tag="mention"):
    account: int
    text: str


ShownSegment = ShownText | ShownEmoji | ShownImage | ShownFile | ShownMention


class SenderInfo(msgspec.Struct, gc=False):
    """`v`: a number that differs when the profile or its picture has changed; left out if it is unknown."""

    nickname: str
    uuid: str
    v: int | UnsetType = UNSET


class ShownMessage(msgspec.Struct, gc=False):
    """`index` counts 1, 2, 3 … within the chat; `time`: Unix milliseconds. `to`: the recipient in a private chat.
    `edited`: the segments are no longer those that were sent. `recalled`: there are no segments any more. `reactions`:
    the number of accounts by emoji; `mine`: the reactions of this account. `reply_to`: the index of another message of
    the chat."""

    chat: int
    index: int
    id: int
    sender: int
    time: int
    segments: list[ShownSegment]
    to: int | UnsetType = UNSET
    face: SenderInfo | UnsetType = UNSET
    edited: bool | UnsetType = UNSET
    recalled: bool | UnsetType = UNSET
    reactions: dict[str, int] | UnsetType = UNSET
    mine: list[str] | UnsetType = UNSET
    reply_to: int | UnsetType = UNSET


class MessageEvent(ShownMessage, tag_field="ev", tag="message", gc=False):
    """A new message, from any connection except this one."""


def group_message(message: Message, sender: ProfileSummary, base_url: str) -> MessageEvent:
    """The event of a group's message, as members see it. `base_url`: the address of files."""
    body = unpack(message.body)
    recalled = body.segments == (Recalled(),)
    segments = [] if recalled else [shown_segment(segment, base_url) for segment in body.rich or body.segments]
    place = message.chat, message.index, message.id, message.sender, message.time
    return MessageEvent(
        *place,
        segments,
        face=sender_info(sender),
        edited=body.edited or UNSET,
        recalled=recalled or UNSET,
        reply_to=body.reply_to or UNSET,
    )


def sender_info(summary: ProfileSummary) -> SenderInfo:
    return SenderInfo(summary.nickname, summary.uuid, summary.version or UNSET)


def shown_segment(segment: RichSegment, base_url: str) -> ShownSegment:
    match segment:
        case Text(text):
            return ShownText(text)
        case Emoji(emoji_id):
            return ShownEmoji(emoji_id)
        case Image(media, digest, preview):
            smaller = f"{base_url}/media/{preview}" if preview else UNSET
            return ShownImage(_media(media, base_url), digest or UNSET, smaller)
        case File(media):
            return ShownFile(_media(media, base_url))
        case Mention(account, text):
            return ShownMention(account, text)
        case Recalled():
            raise TypeError("a recalled message has no segments here")
        case _:
            assert_never(segment)


def _media(media: Media, base_url: str) -> MediaInfo:
    url, shown = media_url(media, base_url), (media.width or UNSET, media.height or UNSET)
    return MediaInfo(media.id, media.name, media.size, media.sha256, media.mime, url, *shown)


def media_url(media: Media, base_url: str) -> str:
    return f"{base_url}/media/{media.id}"
