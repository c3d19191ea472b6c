"""Tests files that are uploaded in chunks, and the frames of a private file."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.edge.canonical.commands import Command, PostMessage, PostUpload, StartUpload, UploadPart
from services.edge.dialects.base import ConnectionInfo, DecodeError, Request
from services.edge.dialects.pipe import Pipe
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import File, Image, Media, Segment
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.dialects.driving import BASE_URL, display

ME, OTHER = AccountId(12), AccountId(34)
NO_CHAT = ChatId(0)
MEDIA = Media("00ff", "cat.png", 512, "ab", "image/png")
REJECTED = Failure(ErrorCode.TOO_LARGE, "too much")


@pytest.fixture
def pipe() -> Pipe:
    return connection()


def connection(base_url: str = BASE_URL) -> Pipe:
    made = Pipe(ConnectionInfo(LimitsSettings(), base_url))
    made.logged_in(ME, 0.0)
    return made


def request(pipe: Pipe, name: str, data: bytes = b"x", kind: int = 1, recipient: int = OTHER) -> Request:
    coded = base64.b64encode(data).decode()
    (decoded,) = pipe.decode(f"send_file|{kind}|{ME}|{recipient}|0|{name}|{coded}|t".encode(), 0.0)
    return decoded


def sent(pipe: Pipe, name: str, data: bytes = b"x", kind: int = 1, recipient: int = OTHER) -> Command:
    return request(pipe, name, data, kind, recipient).command


def rejected(pipe: Pipe, name: str, kind: int = 1, recipient: int = OTHER) -> bool:
    try:
        sent(pipe, name, b"x", kind, recipient)
    except DecodeError as error:
        return error.context == "send_file"
    return False


@given(st.lists(st.binary(min_size=1), min_size=2, max_size=6), st.text("a|#/1你 .", min_size=1))
def test_chunks_make_one_file(parts: list[bytes], name: str) -> None:
    pipe, of = connection(), len(parts)
    commands = [sent(pipe, f"{name}#{k}/{of}", part) for k, part in enumerate(parts, start=1)]
    assert commands == [
        StartUpload(1, NO_CHAT, OTHER, parts[0]),
        *(UploadPart(1, part) for part in parts[1:-1]),
        PostUpload(1, parts[-1], NO_CHAT, "file", OTHER, name),
    ]
    assert isinstance(sent(pipe, f"{name}#1/{of}"), StartUpload)


@pytest.mark.parametrize(("name", "stored"), [
    ("cat.png", "cat.png"), ("cat.png#1/1", "cat.png"), ("#1/1", "#1/1"), ("C#", "C#"), ("a#b/c", "a#b/c"),
    ("a#1/3x", "a#1/3x"), ("a#-1/3", "a#-1/3"), ("a#1/9999999999", "a#1/9999999999"), ("a#b#1/1", "a#b"),
])  # fmt: skip
def test_a_file_in_one_piece_is_one_command(pipe: Pipe, name: str, stored: str) -> None:
    assert sent(pipe, name, b"abc", 0) == PostUpload(None, b"abc", NO_CHAT, "image", OTHER, stored)


def test_a_chunk_out_of_order_changes_nothing(pipe: Pipe) -> None:
    sent(pipe, "f#1/3")
    assert all(rejected(pipe, name) for name in ("f#3/3", "f#2/4", "f#0/3", "f#4/3"))
    assert rejected(pipe, "f#2/3", kind=0)
    assert rejected(pipe, "f#2/3", recipient=56)
    with pytest.raises(DecodeError):
        pipe.decode(f"send_file|1|{ME}|{OTHER}|0|f#2/3|not base64|t".encode(), 0.0)
    assert isinstance(sent(pipe, "f#2/3"), UploadPart)
    assert rejected(pipe, "f#2/3")
    assert isinstance(sent(pipe, "f#3/3"), PostUpload)


def test_chunk_1_begins_a_file_anew(pipe: Pipe) -> None:
    """An error of the previous file does not end the new one."""
    sent(pipe, "f#1/3")
    second = request(pipe, "f#2/3")
    assert sent(pipe, "f#1/2", b"new") == StartUpload(2, NO_CHAT, OTHER, b"new", replaces=1)
    pipe.encode_error(second, REJECTED)
    assert sent(pipe, "f#2/2", b"end") == PostUpload(2, b"end", NO_CHAT, "file", OTHER, "f")


def test_files_of_several_names_are_uploaded_side_by_side(pipe: Pipe) -> None:
    assert sent(pipe, "a#1/2", b"a") == StartUpload(1, NO_CHAT, OTHER, b"a")
    assert sent(pipe, "b#1/2", b"b") == StartUpload(2, NO_CHAT, OTHER, b"b")
    assert sent(pipe, "a#2/2", b"A") == PostUpload(1, b"A", NO_CHAT, "file", OTHER, "a")
    assert sent(pipe, "b#2/2", b"B") == PostUpload(2, b"B", NO_CHAT, "file", OTHER, "b")


@pytest.mark.parametrize("chunk", ["f#1/3", "f#2/3"])
def test_a_failed_request_ends_an_upload_which_may_start_again(pipe: Pipe, chunk: str) -> None:
    requests = [request(pipe, f"f#{k}/3") for k in range(1, int(chunk[2]) + 1)]
    assert pipe.encode_error(requests[-1], REJECTED) == (b"send_file_error|too much",)
    assert rejected(pipe, "f#2/3")
    assert rejected(pipe, "f#3/3")
    assert isinstance(sent(pipe, "f#1/3"), StartUpload)


def test_an_error_of_a_finished_upload_ends_nothing(pipe: Pipe) -> None:
    first = request(pipe, "f#1/2")
    sent(pipe, "f#2/2")
    sent(pipe, "f#1/2")
    pipe.encode_error(first, REJECTED)
    assert isinstance(sent(pipe, "f#2/2"), PostUpload)


def test_a_logout_drops_half_a_file(pipe: Pipe) -> None:
    sent(pipe, "f#1/2")
    pipe.logged_in(NO_ACCOUNT, 0.0)
    pipe.logged_in(ME, 0.0)
    assert rejected(pipe, "f#2/2")


def test_a_chunk_may_log_in() -> None:
    pipe = Pipe(ConnectionInfo(LimitsSettings(), BASE_URL))
    sent(pipe, "f#1/2")
    pipe.logged_in(ME, 0.0)
    assert isinstance(sent(pipe, "f#2/2"), PostUpload)


def test_a_sent_file_keeps_the_name_of_its_command(pipe: Pipe) -> None:
    original = request(pipe, "cat.png")
    sent_file = replace(original, command=PostMessage(ChatId(6), (Image(MEDIA),)))
    assert pipe.encode_error(sent_file, REJECTED) == (b"send_file_error|too much",)


def pushed(base_url: str, *segments: Segment) -> str:
    (frame,) = connection(base_url).encode_message(display(*segments, sender=OTHER, to=ME))
    assert isinstance(frame, bytes)
    return frame.decode()


@pytest.mark.parametrize(("base_url", "place"), [
    ("http://chat.example:8080", "chat.example|8080"), ("http://chat.example", "chat.example|80"),
    ("http://127.0.0.1:1", "127.0.0.1|1"), ("http://[::1]:8080", "[::1]|8080"), ("http://[::1]", "[::1]|80"),
])  # fmt: skip
@pytest.mark.parametrize("segment", [Image(MEDIA), File(MEDIA)])
def test_a_private_file_is_pushed_with_its_host_and_path(base_url: str, place: str, segment: Segment) -> None:
    assert pushed(base_url, segment) == f"file|34|{place}|media/00ff|512|"


@pytest.mark.parametrize("base_url", [
    "https://chat.example", "http://chat.example/below", "http://a|b:1", "http://a\nb", "http://", "http://x:y",
])  # fmt: skip
def test_a_file_beyond_plain_http_is_pushed_by_its_address(base_url: str) -> None:
    assert pushed(base_url, Image(MEDIA)) == f"message|0|34|1724400000|[图片] cat.png {base_url}/media/00ff"
