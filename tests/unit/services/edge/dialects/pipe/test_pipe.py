"""Frames of pipe that are not in its vectors: the login, the account that a frame names, and errors."""

from itertools import product

import pytest

from services.edge.canonical.frames import Binary
from services.edge.dialects.base import DecodeError, Request
from services.edge.dialects.pipe import Pipe
from services.edge.dialects.pipe.frames import READERS
from shared.contract.auth import Authenticated
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT, AccountId
from tests.unit.services.edge.dialects.driving import ENTRIES, comparable, connect

ME, OTHER = AccountId(12), AccountId(34)


def connection(account: AccountId = NO_ACCOUNT) -> Pipe:
    pipe = connect(ENTRIES["pipe"])
    assert isinstance(pipe, Pipe)
    pipe.logged_in(account, 0.0)
    return pipe


def decoded(pipe: Pipe, frame: str) -> Request:
    (request,) = pipe.decode(frame.encode(), 0.0)
    return request


def test_the_login_shows_the_unread_messages_of_this_account() -> None:
    pipe = connection()
    answer = Authenticated(account=ME, sid="s", token="t", expires=0, uuid="u", nickname="n")
    for unread in (5, 0):
        request = decoded(pipe, "login|ann|secret")
        pipe.logged_in(ME, 0.0)
        pipe.unread_loaded(unread)
        assert pipe.encode_reply(request, answer, 0.0) == (f"login_succ|登录成功！|12|t|{unread}".encode(),)


def test_a_uid_must_be_the_accounts_also_after_another_login() -> None:
    pipe = connection()
    assert decoded(pipe, "get_user_friend|34|t").account == OTHER
    for account, other in ((ME, OTHER), (OTHER, ME)):
        pipe.logged_in(account, 0.0)
        assert decoded(pipe, f"get_user_friend|{account}|t").account == account
        with pytest.raises(DecodeError) as rejected:
            decoded(pipe, f"get_user_friend|{other}|t")
        assert rejected.value.failure.code is ErrorCode.FORBIDDEN


@pytest.mark.parametrize("command", sorted(READERS.keys() - {
    "register", "login", "forget_passwd", "hand_group_request", "get_unread_friend_request", "get_unread_group_request",
    "get_unread_message",
}))  # fmt: skip
def test_each_command_with_another_uid_is_rejected(command: str) -> None:
    fields = {
        "update_profile": "34|t|n|1|s|1|a", "get_user_info": "34|12|t", "get_user_friend": "34|t",
        "get_user_group": "34|t", "get_group_info": "34|5|t", "add_friend": "34|12|hi|t", "del_friend": "34|12|t",
        "hand_friend_request": "34|12|1|t", "create_group": "34|name|t", "join_group": "34|5|hi|t",
        "send_message": "1|34|5|0|hi|t", "send_file": "1|34|12|0|name|YQ==|t",
    }  # fmt: skip
    frame = f"{command}|{fields[command]}"
    request = decoded(connection(), frame)
    assert (request.token, request.account) == ("t", OTHER), "before the login, the token's account is checked"
    with pytest.raises(DecodeError) as rejected:
        decoded(connection(ME), frame)
    assert (rejected.value.failure.code, rejected.value.context) == (ErrorCode.FORBIDDEN, command)
    empty = frame.replace("|t|", "||") if command == "update_profile" else frame.removesuffix("t")
    with pytest.raises(DecodeError) as rejected:
        decoded(connection(OTHER), empty)
    assert rejected.value.failure.code in (ErrorCode.UNAUTHENTICATED, ErrorCode.INVALID)
    assert rejected.value.context == command


@pytest.mark.parametrize("command", sorted(READERS))
def test_every_error_of_every_command_has_its_frame(command: str) -> None:
    word = "up_pass" if command == "forget_passwd" else command
    for code, text in product(ErrorCode, ("because", "")):
        frame = f"{word}_error|{text or code.value}".encode()
        assert connection().encode_error(None, Failure(code, text), command) == (frame,)


@pytest.mark.parametrize("frame", [Binary(b"login|a|b"), b"login|\xff|b", b"\xed\xa0\x80"])
def test_a_frame_that_is_no_text_is_rejected(frame: bytes | Binary) -> None:
    with pytest.raises(DecodeError) as rejected:
        connection().decode(frame, 0.0)
    (reply,) = connection().encode_error(None, rejected.value.failure, rejected.value.context)
    assert comparable(reply).startswith("error|")
