"""Tests the packed body of a message."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract.body import (
    comparable,
    mention_mark,
    pack_edited,
    pack_segments,
    reply_target,
    unpack,
    unpack_segments,
    with_reply_of,
)
from shared.contract.ids import AccountId
from shared.contract.model import Body, DialectTag, Emoji, File, Image, Media, Mention, RichSegment, Segment, Text

MEDIA = Media("00112233445566778899aabbccddeeff", "cat.png", 512, "ab", "image/png")
SENT_IN_PACKAGES = Media("00112233445566778899aabbccddeeff", "cat.png", 512, "ab", "image/png", packages=3)


@pytest.mark.parametrize("segments", [(), (Text("x"),), (Text(""), Emoji(3), Image(MEDIA), File(SENT_IN_PACKAGES))])
@pytest.mark.parametrize("dialect", ["", "pipe"])
def test_segments_and_the_mark_come_back(segments: tuple[Segment, ...], dialect: str) -> None:
    body = pack_segments(segments, dialect)
    assert unpack(body) == Body(segments, dialect)
    assert unpack_segments(body) == segments


def test_a_body_stored_before_packages_were_counted_is_read() -> None:
    body = msgspec.msgpack.encode([["i", ["00ff", "cat.png", 512, "ab", "image/png"]]])
    assert unpack_segments(body) == (Image(Media("00ff", "cat.png", 512, "ab", "image/png", 0)),)


def test_a_message_that_an_edge_of_an_older_version_packs_is_the_same() -> None:
    fields = [MEDIA.id, MEDIA.name, MEDIA.size, MEDIA.sha256, MEDIA.mime, MEDIA.packages]
    older = msgspec.msgpack.encode([["t", "i"], ["i", fields], ["f", fields], ["d", "native"]])
    picture = msgspec.structs.replace(MEDIA, width=320, height=200)
    body = pack_segments((Text("i"), Image(picture, "1QcS", "00ff"), File(picture)), "native")
    assert comparable(body) == comparable(older) == older
    renamed = msgspec.structs.replace(picture, name="dog.png")
    assert comparable(pack_segments((Text("i"), Image(picture), File(renamed)), "native")) != older
    assert comparable(b"\x91\x92\xa1t\xa1x") == b"\x91\x92\xa1t\xa1x"


def test_only_a_mark_takes_room() -> None:
    assert pack_segments((Text("x"),)) == b"\x91\x92\xa1t\xa1x"
    assert len(pack_segments((Text("x"),), "pipe")) == 14


ANN, RICH = Mention(AccountId(12), "@Ann"), st.lists(
    st.builds(Text, st.text(max_size=3))
    | st.builds(Mention, st.integers(1, 2**53 - 1).map(AccountId), st.text(min_size=1, max_size=3))
    | st.builds(Emoji, st.integers(0, 2**53 - 1)),
    max_size=4,
).map(tuple)  # fmt: skip
_released = msgspec.msgpack.Decoder(tuple[Text | Emoji | Image | File | DialectTag, ...]).decode
"""Decodes bodies as versions do that have no replies and mentions."""


@given(RICH, st.sampled_from(["", "pipe"]), st.integers(0, 2**53 - 1))
def test_replies_and_mentions_come_back(segments: tuple[RichSegment, ...], dialect: str, reply_to: int) -> None:
    body = pack_segments(segments, dialect, reply_to)
    read, mentions = unpack(body), {one.account for one in segments if isinstance(one, Mention)}
    assert (read.rich or read.segments, read.dialect, read.reply_to) == (segments, dialect, reply_to)
    assert reply_target(body) == reply_to
    assert {account for account in (*mentions, AccountId(1)) if mention_mark(account) in body} == mentions
    parts = [Text(one.text) if isinstance(one, Mention) else one for one in segments]
    released = _released(body)
    assert [*released] == parts + ([DialectTag(dialect)] if dialect or reply_to or mentions else [])


@given(st.text(), st.integers(0, 2**63 - 1))
def test_what_a_user_writes_is_no_mark(text: str, number: int) -> None:
    media = Media("00ff", f"{text}\xff\xfereply", number, text, text)
    body = pack_segments((Text(text), Emoji(number), Image(media), Text(f"{text}ÿþmention")))
    assert b"\xff\xfereply" not in body
    assert b"\xff\xfemention" not in body


def test_a_mention_is_one_text_with_those_around_it() -> None:
    body = pack_segments((Text("a"), Text("b "), ANN, ANN, Text("!"), Text("c"), Emoji(3), ANN))
    assert unpack_segments(body) == (Text("a"), Text("b @Ann@Ann!"), Text("c"), Emoji(3), Text("@Ann"))


def test_an_edit_keeps_what_the_message_replies_to() -> None:
    edited = pack_edited((ANN,))
    assert with_reply_of(edited, pack_segments((Text("x"),))) is edited
    read = unpack(with_reply_of(edited, pack_segments((Text("x"),), "pipe", 7)))
    assert read == Body((Text("@Ann"),), "", edited=True, rich=(ANN,), reply_to=7)
    assert with_reply_of(pack_edited((Text("y"),)), with_reply_of(edited, pack_segments((), "", 9))) == pack_segments(
        (Text("y"),), "edited", 9
    )
