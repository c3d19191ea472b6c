"""A table of wrong frames, with the texts of their error replies, by dialect.

`$name` stands for a value with this name in `tests.system.test_bad_input.BadInputFixture`: numbers of accounts and
chats, tokens, and texts of the greatest length.
"""

from collections.abc import Iterator
from typing import NamedTuple


class Row(NamedTuple):
    """One wrong frame. `answers` has a part of each frame of the reply, in which … is any text. If `fresh`, the frame
    is sent on a connection that is not logged in.

    This table has one row for each way in which a frame can be wrong, and all kinds of wrong tokens. The files in
    tests/vectors have the frames that the dialect itself rejects. The file test_error_replies.py has every error of
    every command.
    """

    dialect: str
    wrong: str
    frame: str | bytes
    answers: tuple[str, ...]
    fresh: bool = False


_ERROR = '"code":18'

_NO_OBJECTS = {
    "cut JSON": '{"code": 0, "service_code": 5',
    "too deep": '{"code": 6, "service_code": 4, "data": $deep, "content": $deep}',
    "too large": "$huge",
}


def _no_objects() -> Iterator[Row]:
    for wrong, frame in _NO_OBJECTS.items():
        for dialect in ("ourchat-v0", "ourchat-v1", "ourchat-v2"):
            yield Row(dialect, wrong, frame, (_ERROR,))
        code = "too_large" if wrong == "too large" else "invalid"
        yield Row("native", wrong, frame, (f'{{"re":null,"error":{{"code":"{code}","text":"',))
        yield Row("service", wrong, frame, ('"state_code":413' if wrong == "too large" else '"state_code":400',))


def _v0(wrong: str, code: int, data: str, answer: str = _ERROR, *, fresh: bool = False) -> Row:
    return Row("ourchat-v0", wrong, f'{{"code": {code}, "data": {{{data}}}}}', (answer,), fresh)


_V0 = [
    _v0("a chat that one is not in", 0, '"cid": $closed, "sender_id": "$me", "msg": "x"'),
    _v0("a wrong password", 6, '"ocId": "$me", "password": "x"', '{"code":7,"data":{"state":1,'),
    _v0("a message before the login", 0, '"cid": 1, "sender_id": "$me", "msg": "x"', fresh=True),
    _v0("a picture before the login", 2, '"cid": 1, "sender_id": "$me", "packages_num": 1, "size": 1', fresh=True),
]  # fmt: skip


def _v1(wrong: str, code: int, data: str, answer: str = _ERROR, *, fresh: bool = False) -> Row:
    return Row("ourchat-v1", wrong, f'{{"code": {code}, "time": 0, "data": {{{data}}}}}', (answer,), fresh)


_V1 = [
    _v1("a group that one is not in", 0, '"sender": {"ocid": $me, "group_id": $closed}, "msg": "x"'),
    _v1("a mail that is taken", 4, '"email": "$mail", "password": "x", "name": "x"', '"data":{"state":2,'),
    _v1("an application to oneself", 9, '"add_ocid": $me, "ocid": $me'),
    _v1("a group renamed by a mere member", 12, '"group_id": $common, "ocid": $me, "name": "x"'),
    _v1("a group before the login", 8, '"group_name": "x", "ocid": $me', fresh=True),
    Row("ourchat-v1", "a binary frame", b"\x00", (_ERROR,)),
]  # fmt: skip


def _v2(wrong: str, code: int, rest: str, *answers: str, fresh: bool = False) -> Row:
    return Row("ourchat-v2", wrong, f'{{"code": {code}, {rest}}}', answers or (_ERROR,), fresh)


_TEXT = '"msg": [{"type": 0, "text": "x"}]'

_V2 = [
    _v2("a session that one is not in", 0, '"sender": {"ocid": "$me", "session_id": "$closed"}, ' + _TEXT),
    _v2("too many segments", 0, '"sender": {"session_id": "$common"}, "msg": [$segments65]'),
    _v2("a wrong password", 6, '"login_type": 0, "account": "$mail", "password": "x"', '{"code":7,"status":1'),
    _v2("a session with nobody", 8, '"members": ["$missing"]', '{"code":9,"status":1}', _ERROR),
    _v2("a deletion before the login", 16, '"time": 0', fresh=True),
    Row("ourchat-v2", "a binary frame", b"\x00", (_ERROR,)),
]  # fmt: skip


_PIPE_ERRORS = [
    ("an unknown command", "dance|x", "error|"),
    ("a line of two", "get_user_friend|$me|$token\nget_user_friend|$me|$token", "get_user_friend_error|"),
    ("a username that is taken", "register|$tag|x|x|1||1|x|0", "register_error|"),
    ("a wrong password", "login|$tag|x", "login_error|"),
    ("a wrong answer", "forget_passwd|$tag|1|wrong|x", "up_pass_error|"),
    ("what nobody is like", "get_user_info|$me|$missing|$token", "get_user_info_error|"),
    ("a request that nobody made", "hand_friend_request|$me|$other|1|$token", "hand_friend_request_error|"),
    ("a message to a group that one is not in", "send_message|1|$me|$closed|0|x|$token", "send_message_error|"),
    ("a message to oneself", "send_message|0|$me|$me|0|x|$token", "send_message_error|"),
]
_TOKENS = ("foreign", "tampered", "expired", "alien")
_PIPE_WITH_TOKENS = {
    "get_user_info": "get_user_info|$me|$me|{}", "get_user_friend": "get_user_friend|$me|{}",
    "get_user_group": "get_user_group|$me|{}", "get_group_info": "get_group_info|$me|$common|{}",
    "update_profile": "update_profile|$me|{}|x|1||1|", "add_friend": "add_friend|$me|$other|hi|{}",
    "del_friend": "del_friend|$me|$other|{}", "hand_friend_request": "hand_friend_request|$me|$other|1|{}",
    "create_group": "create_group|$me|x|{}", "join_group": "join_group|$me|$closed|hi|{}",
    "hand_group_request": "hand_group_request|$other|$mine|1|{}", "send_message": "send_message|1|$me|$common|0|x|{}",
    "send_file": "send_file|1|$me|$other|0|x.txt|eA==|{}",
}  # fmt: skip
_PIPE_EARLY = ["get_unread_friend_request|", "get_unread_group_request|", "get_unread_message|5"]


def _pipe() -> Iterator[Row]:
    for wrong, frame, answer in _PIPE_ERRORS:
        yield Row("pipe", wrong, frame, (answer,))
    for command, frame in _PIPE_WITH_TOKENS.items():
        for token in (*(f"${token}" for token in _TOKENS), "nonsense") if command == "send_message" else ("$foreign",):
            wrong = f"{command} with a token that is {token.strip('$')}"
            yield Row("pipe", wrong, frame.format(token), (f"{command}_error|",))
    for frame in _PIPE_EARLY:
        command = frame.partition("|")[0]
        yield Row("pipe", f"{command} before the login", frame, (f"{command}_error|",), fresh=True)
    for token in ("expired", "revoked"):
        friends = f"get_user_friend|$gone|${token}"
        yield Row("pipe", f"a login by a token that is {token}", friends, ("get_user_friend_error|",), fresh=True)
    yield Row("pipe", "a binary frame", b"\x00", ("error|",))


def _service_row(wrong: str, code: int, content: str, answer: str | int, *, fresh: bool = False) -> Row:
    """Returns a row. `answer` is the state code of the reply, or its cause."""
    held = f'"state_code":{answer}' if isinstance(answer, int) else f'"msg":"failed","cause":"{answer}'
    return Row("service", wrong, f'{{"service_code": {code}, "content": {{{content}}}}}', (held,), fresh)


_T = '"token": "$token", '

_SERVICE = [
    _service_row("a token as a secret", 2, '"id": "$other_uuid", "token": "$token"', 400),
    _service_row("a wrong secret", 1, '"id": "$uuid", "token": 5', ""),
    _service_row("a walk in a chat that one is not in", 3, _T + '"chat": $closed, "index": -1, "count": 5', 403),
    _service_row("a message to no chat", 5, _T + '"chat": $missing, "msg": "x"', 404),
    _service_row("a closed chat to join", 6, _T + '"chat": $closed', ""),
    _service_row("a request without a token", 4, "", 401),
    _service_row("a request before the login", 4, '"token": 5', 401, fresh=True),
    _service_row("a login by a token of somebody else", 1, '"id": "$uuid", "token": "$foreign"', "", fresh=True),
    _service_row("a login by an expired token", 1, '"id": "$uuid", "token": "$expired"', "", fresh=True),
    _service_row("a login by a tampered token", 1, '"id": "$uuid", "token": "$tampered"', "", fresh=True),
    _service_row("a request by a revoked token", 4, '"token": "$revoked"', 401, fresh=True),
    _service_row("a request by an expired token", 4, '"token": "$expired"', 401, fresh=True),
    Row("service", "a binary frame", b"\x00", ('"state_code":400',)),
]  # fmt: skip
_SERVICE_WITH_TOKENS = {
    3: '"chat": $common, "index": -1, "count": 5', 4: '"x": 0', 5: '"chat": $common, "msg": "x"', 6: '"chat": $closed',
    7: '"name": "x", "is_group": true, "member": []', 9: '"chat": $common, "index": 0, "count": 5',
}  # fmt: skip


def _service() -> Iterator[Row]:
    yield from _SERVICE
    for code, content in _SERVICE_WITH_TOKENS.items():
        for token in _TOKENS if code == 5 else ("foreign",):
            wrong = f"{code} with a token that is {token}"
            yield _service_row(wrong, code, f'{content}, "token": "${token}"', 401)


def _native(wrong: str, command: str, code: str, field: str, reason: str = "", *, fresh: bool = False) -> Row:
    more = "".join(f',"{name}":"{value}"' for name, value in (("field", field), ("reason", reason)) if value)
    answer = f'{{"re":"x","error":{{"code":"{code}","text":"…"{more},"request":"…"}}}}'
    return Row("native", wrong, f'{{"id": "x", {command}}}', (answer,), fresh)


_NATIVE = [
    _native("a foreign chat", '"op": "send", "chat": $closed, "nonce": "n", "text": "x"', "forbidden", "chat",
            "not_member"),
    _native("no chat", '"op": "send", "chat": $missing, "nonce": "n", "text": "x"', "not_found", "chat"),
    _native("oneself to send to", '"op": "send", "to": $me, "nonce": "n", "text": "x"', "invalid", "to", "choice"),
    _native("a kick by a member", '"op": "kick", "chat": $common, "account": $other', "forbidden", "chat",
            "not_admin"),
    _native("a wrong old password", '"op": "password", "old": {"scheme": "plain", "value": "x"}, '
            '"new": {"scheme": "plain", "value": "y"}', "unauthenticated", "old"),
    _native("a token of somebody else", '"op": "token", "token": "$foreign"', "unauthenticated", "token"),
    _native("an expired token", '"op": "token", "token": "$expired"', "unauthenticated", "token", fresh=True),
    _native("a tampered token", '"op": "token", "token": "$tampered"', "unauthenticated", "token", fresh=True),
    _native("a message before the login", '"op": "send", "chat": 1, "nonce": "n", "text": "x"',
            "unauthenticated", "", fresh=True),
    Row("native", "an id that is a list", '{"op": "ping", "id": []}', ('"reason":"type","request":"…"}}',)),
    Row("native", "a binary frame", b"\x00", ('{"re":null,"error":{"code":"invalid","text":"',)),
]  # fmt: skip

ROWS = [*_no_objects(), *_V0, *_V1, *_V2, *_pipe(), *_service(), *_NATIVE]
