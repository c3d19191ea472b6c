"""OurChat v0, server to client: the frames, byte for byte."""

from collections.abc import Iterator
from itertools import groupby

import msgspec

from services.edge.canonical.frames import MediaPayload, Outgoing
from services.edge.canonical.replies import DisplayMessage
from services.edge.dialects.ourchat_envelope import ocid
from services.edge.dialects.ourchat_v0.codes import V0Code
from services.edge.dialects.text_fallback import only_text, render_message, render_segment
from shared.contract.auth import Authenticated
from shared.contract.model import Emoji, File, Image, Segment
from shared.setting_types import Language

_PACKAGE_BYTES = 256 * 1024
"""The package size for a file that was not uploaded in packages."""

_encode = msgspec.json.Encoder().encode


def _frame(code: int, data: dict[str, object]) -> bytes:
    return _encode({"code": code, "data": data})


def registered(answer: Authenticated) -> bytes:
    """The reply to a registration. Its token is also valid for uploads, downloads and other dialects."""
    return _frame(V0Code.REGISTERED, {"state": 0, "ocId": ocid(answer.account), "token": answer.token})


def logged_in(answer: Authenticated) -> bytes:
    """The reply to a login. Its token is valid as in `registered`."""
    return _frame(V0Code.LOGGED_IN, {"state": 0, "token": answer.token})


def state(code: int, state: int, details: str) -> bytes:
    """The reply to a registration or login that failed. `details` are not in the document."""
    return _frame(code, {"state": state, "details": details})


def error(details: str) -> bytes:
    return _frame(V0Code.ERROR, {"details": details})


def message(
    shown: DisplayMessage, base_url: str, package_bytes: int, language: Language = "zh"
) -> tuple[Outgoing, ...]:
    """The frames of one message, in order. Each emoji and each run of adjacent texts has one frame. Each picture or
    file has packages of at most `package_bytes` bytes or, if this is 0, a frame with text."""
    where = {"cid": shown.message.chat, "sender_id": ocid(shown.message.sender)}
    if text := only_text(shown.segments):
        return (_frame(V0Code.TEXT, {**where, "msg": text}),)
    return tuple(_frames(shown.segments, where, base_url, package_bytes, language))


def _frames(
    segments: tuple[Segment, ...], where: dict[str, object], base_url: str, package_bytes: int, language: Language
) -> Iterator[Outgoing]:
    apart = (Emoji, Image, File) if package_bytes else (Emoji,)
    for is_apart, group in groupby(segments, lambda segment: isinstance(segment, apart)):
        if not is_apart:
            if text := render_message(tuple(group), base_url, language):
                yield _frame(V0Code.TEXT, {**where, "msg": text})
            continue
        for one in group:
            if isinstance(one, Emoji):
                yield _frame(V0Code.EMOJI, {**where, "emojiId": one.emoji_id})
            elif isinstance(one, Image | File):
                yield _content(one, where, base_url, package_bytes, language)


def _content(
    segment: Image | File, where: dict[str, object], base_url: str, package_bytes: int, language: Language
) -> MediaPayload:
    """The file in as many packages as its uploader has sent. If these would be too large, there are more packages."""
    media, code = segment.media, V0Code.IMAGE if isinstance(segment, Image) else V0Code.FILE
    packages = max(1, media.packages or -(-media.size // _PACKAGE_BYTES), -(-media.size // package_bytes))
    announcement = _frame(code, {**where, "packages_num": packages, "size": media.size})
    return MediaPayload(
        announcement,
        media,
        packages,
        _frame(V0Code.TEXT, {**where, "msg": render_segment(segment, base_url, language)}),
    )
