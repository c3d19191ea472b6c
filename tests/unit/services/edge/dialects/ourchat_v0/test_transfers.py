"""Pictures and files of v0.

Tests announcements, packages (parts of a file), failed transfers, and the frames of a message with media.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.canonical.commands import Command, DropUpload, PostMessage, PostUpload, StartUpload, UploadPart
from services.edge.canonical.frames import Binary, MediaPayload, Outgoing
from services.edge.dialects.base import ConnectionInfo, DecodeError, Request
from services.edge.dialects.ourchat_v0 import OurChatV0
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Emoji, File, Image, Media, Segment, Text
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.dialects.driving import BASE_URL, display

ME = AccountId(12)
CHAT = ChatId(5)
LIMITS = LimitsSettings(binary_frame_bytes=10, file_bytes=1000)
REJECTED = Failure(ErrorCode.FORBIDDEN, "you are not a member of this chat")


def connection(limits: LimitsSettings = LIMITS, *, binary: bool = True) -> OurChatV0:
    dialect = OurChatV0(ConnectionInfo(limits, BASE_URL, binary=binary))
    dialect.logged_in(ME, 0.0)
    return dialect


def announced(
    dialect: OurChatV0, packages: int, size: int, now: float = 0.0, code: int = 2, sender: int = ME
) -> Request:
    data = {"cid": CHAT, "sender_id": sender, "packages_num": packages, "size": size}
    (request,) = dialect.decode(json.dumps({"code": code, "data": data}).encode(), now)
    assert isinstance(request.command, StartUpload)
    return request


def rejected(dialect: OurChatV0, packages: int, size: int, now: float = 0.0, sender: int = ME) -> ErrorCode:
    with pytest.raises(DecodeError) as error:
        announced(dialect, packages, size, now, sender=sender)
    return error.value.failure.code


def sent(dialect: OurChatV0, data: bytes, now: float = 0.0) -> Command | None:
    """Returns the command of a package, or None if the package is dropped."""
    requests = dialect.decode(Binary(data), now)
    return requests[0].command if requests else None


def is_stray(dialect: OurChatV0, now: float = 0.0) -> bool:
    try:
        return sent(dialect, b"x", now) is not None
    except DecodeError:
        return True


def shown(*segments: Segment, binary: bool = True) -> list[Outgoing]:
    return list(connection(binary=binary).encode_message(display(*segments)))


def media(size: int, packages: int = 0) -> Media:
    return Media("00ff", "cat.png", size, "ab", "image/png", packages)


@given(st.lists(st.binary(max_size=10), min_size=1, max_size=20), st.sampled_from([2, 3]))
def test_an_announced_upload_is_accepted_package_by_package(parts: list[bytes], code: int) -> None:
    size = sum(map(len, parts))
    dialect = connection()
    if size < len(parts):
        assert rejected(dialect, len(parts), size) is ErrorCode.INVALID
        return
    request = announced(dialect, len(parts), size, code=code)
    assert request.command == StartUpload(1, CHAT)
    commands = [sent(dialect, part) for part in parts]
    assert commands[:-1] == [UploadPart(1, part) for part in parts[:-1]]
    kind = "image" if code == 2 else "file"
    assert commands[-1] == PostUpload(1, parts[-1], CHAT, kind, packages=len(parts))  # type: ignore[arg-type]
    assert is_stray(dialect)


@given(st.integers(1, 8), st.integers(1, 80), st.lists(st.binary(max_size=12), min_size=8, max_size=8))
def test_a_mismatch_is_rejected_once_and_early_and_the_rest_is_dropped(
    packages: int, size: int, parts: list[bytes]
) -> None:
    dialect = connection()
    if not -(-size // 10) <= packages <= size:
        assert rejected(dialect, packages, size) is ErrorCode.INVALID
        return
    announced(dialect, packages, size)
    for number, part in enumerate(parts[:packages], start=1):
        command = sent(dialect, part)
        missing = size - sum(map(len, parts[:number]))
        if len(part) > 10 or not 0 <= missing <= 10 * (packages - number):
            assert isinstance(command, DropUpload)
            assert [sent(dialect, b"more than 10 bytes") for _ in range(packages - number)] == [None] * (
                packages - number
            )
            break
        assert isinstance(command, PostUpload if number == packages else UploadPart)
    assert is_stray(dialect)
    assert announced(dialect, 1, 1).command == StartUpload(2, CHAT)


@pytest.mark.parametrize(
    ("packages", "size", "code"),
    [
        (0, 5, ErrorCode.INVALID), (-1, 5, ErrorCode.INVALID), (1, 0, ErrorCode.INVALID), (1, -5, ErrorCode.INVALID),
        (2**70, 5, ErrorCode.INVALID), (1, 1001, ErrorCode.TOO_LARGE), (1, 11, ErrorCode.INVALID),
        (65, 1000, ErrorCode.INVALID), (6, 5, ErrorCode.INVALID),
    ],
)  # fmt: skip
def test_an_impossible_announcement_is_rejected(packages: int, size: int, code: ErrorCode) -> None:
    assert rejected(connection(), packages, size) is code


def test_packages_may_be_small_but_not_very_many() -> None:
    dialect = connection(LimitsSettings())
    assert rejected(dialect, 64 + 1024 + 1, 1024**2) is ErrorCode.INVALID
    assert announced(dialect, 64 + 1024, 1024**2)
    assert announced(connection(LimitsSettings()), 100, 100 * 1024**2)


def test_packages_of_a_rejected_announcement_are_dropped() -> None:
    """The client does not wait for replies, so more packages may already be on their way."""
    dialect = connection()
    for sender, size in ((ME, 2000), (34, 20)):
        rejected(dialect, 2, size, sender=sender)
        assert [sent(dialect, b"x") for _ in range(2)] == [None, None]
        assert is_stray(dialect)
    assert dialect.encode_error(announced(dialect, 2, 20), REJECTED)
    assert [sent(dialect, b"x") for _ in range(2)] == [None, None]
    assert is_stray(dialect)


def test_another_announcement_may_follow_an_error_reply() -> None:
    dialect = connection()
    rejected(dialect, 2, 2000)
    dialect.encode_error(announced(dialect, 2, 20), REJECTED)
    announced(dialect, 1, 3)
    assert isinstance(sent(dialect, b"abc"), PostUpload)


def test_a_second_announcement_leaves_the_first_unharmed() -> None:
    dialect = connection()
    announced(dialect, 2, 6)
    assert rejected(dialect, 1, 3) is ErrorCode.CONFLICT
    assert sent(dialect, b"abc") == UploadPart(1, b"abc")
    assert rejected(dialect, 1, 3) is ErrorCode.CONFLICT
    assert isinstance(sent(dialect, b"def"), PostUpload)
    assert announced(dialect, 1, 3).command == StartUpload(2, CHAT)


def test_no_announcement_while_packages_of_a_failed_transfer_arrive() -> None:
    dialect = connection()
    announced(dialect, 3, 3)
    assert isinstance(sent(dialect, b"abcd"), DropUpload)
    assert rejected(dialect, 1, 3) is ErrorCode.CONFLICT
    assert [sent(dialect, b"x"), sent(dialect, b"x")] == [None, None]
    assert announced(dialect, 1, 3).command == StartUpload(2, CHAT)


def test_late_packages_are_not_expected() -> None:
    dialect = connection()
    announced(dialect, 3, 3, now=100.0)
    sent(dialect, b"abcd", now=110.0)
    assert rejected(dialect, 1, 3, now=139.0) is ErrorCode.CONFLICT
    announced(dialect, 1, 3, now=141.0)
    assert isinstance(sent(dialect, b"abc", now=142.0), PostUpload)


def test_a_failed_request_ends_its_transfer() -> None:
    """A part could not be stored, or the transfer has been idle."""
    dialect = connection()
    begun = announced(dialect, 3, 3)
    part = Request(UploadPart(1, b"a"))
    assert sent(dialect, b"a") == part.command
    assert dialect.encode_error(part, Failure(ErrorCode.UNAVAILABLE, "no"))
    dialect.encode_error(begun, REJECTED)
    assert [sent(dialect, b"x"), sent(dialect, b"x")] == [None, None]
    assert is_stray(dialect)


def test_an_error_of_an_earlier_transfer_does_not_end_this_one() -> None:
    dialect = connection()
    begun = announced(dialect, 1, 1)
    sent(dialect, b"a")
    announced(dialect, 1, 1)
    dialect.encode_error(begun, REJECTED)
    assert isinstance(sent(dialect, b"a"), PostUpload)


def test_text_may_arrive_between_packages() -> None:
    dialect = connection()
    announced(dialect, 2, 6)
    data = {"cid": CHAT, "sender_id": ME, "msg": "meanwhile"}
    (request,) = dialect.decode(json.dumps({"code": 0, "data": data}).encode(), 0.0)
    assert request.command == PostMessage(CHAT, (Text("meanwhile"),))
    assert sent(dialect, b"abc") == UploadPart(1, b"abc")


def test_an_announcement_without_binary_frames_is_rejected() -> None:
    assert rejected(connection(binary=False), 1, 3) is ErrorCode.INVALID


def frames(out: list[Outgoing]) -> list[Any]:
    return [
        json.loads(one.announcement if isinstance(one, MediaPayload) else one)
        for one in out
        if not isinstance(one, Binary)
    ]


def test_each_kind_has_a_frame_of_its_own_in_order() -> None:
    out = shown(Text("a"), Text("b"), Image(media(20, 3)), File(media(20, 2)), Emoji(7), Text("c"), Image(media(5, 1)))
    codes = [(frame["code"], frame["data"].get("msg"), frame["data"].get("packages_num")) for frame in frames(out)]
    assert codes == [(0, "a b", None), (2, None, 3), (3, None, 2), (1, None, None), (0, "c", None), (2, None, 1)]
    assert all(frame["data"]["cid"] == 5 and frame["data"]["sender_id"] == "0000000012" for frame in frames(out))


def test_a_picture_byte_for_byte() -> None:
    """The dialect's document defines the keys and their order, without white space."""
    (content,) = shown(Image(media(20, 3)))
    assert content == MediaPayload(
        b'{"code":2,"data":{"cid":5,"sender_id":"0000000012","packages_num":3,"size":20}}', media(20, 3), 3,
        '{"code":0,"data":{"cid":5,"sender_id":"0000000012","msg":"[图片] cat.png http://chat.example:8080/media/00ff"}}'
        .encode(),
    )  # fmt: skip


@pytest.mark.parametrize(("size", "uploaded", "packages"), [
    (100, 10, 10), (100, 20, 20), (100, 5, 10), (101, 5, 11), (1, 0, 1), (0, 0, 1), (95, 0, 10),
])  # fmt: skip
def test_the_number_of_packages_is_kept_unless_they_are_too_large(size: int, uploaded: int, packages: int) -> None:
    (content,) = shown(File(media(size, uploaded)))
    assert isinstance(content, MediaPayload)
    assert content.packages == packages == json.loads(content.announcement)["data"]["packages_num"]


def test_media_without_packages_is_sent_in_packages_of_256_kib() -> None:
    (content,) = connection(LimitsSettings()).encode_message(display(File(media(1024**2))))
    assert isinstance(content, MediaPayload)
    assert content.packages == 4


def test_without_binary_frames_media_is_text() -> None:
    (frame,) = frames(shown(Text("look"), Image(media(20, 3)), binary=False))
    assert frame["data"]["msg"] == "look [图片] cat.png http://chat.example:8080/media/00ff"
    assert connection().variant != connection(binary=False).variant
