"""Wrong frames by dialect, and the texts of their error replies: rows of a table. `$name` stands for a value that
`tests.system.test_bad_input.BadInputFixture` knows by that name: numbers of accounts and chats, tokens, texts at the
limits."""

from collections.abc import Iterator
from typing import NamedTuple


class Row(NamedTuple):
    """`answers`: a part of each frame that comes back; … is any text. `fresh`: on a connection that is not logged
    in. What a dialect alone rejects is in tests/vectors; here are the rest, and its largest frames."""

    dialect: str
    wrong: str
    frame: str | bytes
    answers: tuple[str, ...]
    fresh: bool = False


_ERROR = '"code":18'

_NO_OBJECTS = {
    "cut JSON": '{"code": 0, "service_code": 5',
    "an array": "[]",
    "null": "null",
    "a code beyond all": '{"code": 1$zeros, "service_code": 1$zeros, "time": 0, "data": {}, "content": {}}',
    "a key twice": '{"code": 12, "code": 12, "service_code": 4, "service_code": 4, "data": {}, "content": {}}',
    "U+0000": r'{"code": 6, "service_code": 4, "data": {"\u0000": 1}, "content": {"\u0000": 1}}',
    "a lone surrogate": r'{"code": 6, "service_code": 4, "data": {"x": "\ud800"}, "content": {"x": "\ud800"}}',
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
    _v0("no chat at all", 0, '"cid": $missing, "sender_id": "$me", "msg": "x"'),
    _v0("too long a text", 0, '"cid": $common, "sender_id": "$me", "msg": "$long"'),
    _v0("a mail that is taken", 4, '"mail": "$mail", "password": "x"', '{"code":5,"data":{"state":1,'),
    _v0("an empty password", 4, '"mail": "x@y.test", "password": ""'),
    _v0("too long a nickname", 4, '"nick": "$name65", "password": "x"'),
    _v0("a wrong password", 6, '"ocId": "$me", "password": "x"', '{"code":7,"data":{"state":1,'),
    _v0("an account that nobody has", 6, '"ocId": "$missing", "password": "x"', '{"code":7,"data":{"state":1,'),
    _v0("an account that cannot be", 6, '"ocId": "x", "password": "x"', '{"code":7,"data":{"state":1,'),
    _v0("a message before the login", 0, '"cid": 1, "sender_id": "$me", "msg": "x"', fresh=True),
    _v0("a picture before the login", 2, '"cid": 1, "sender_id": "$me", "packages_num": 1, "size": 1', fresh=True),
]  # fmt: skip


def _v1(wrong: str, code: int, data: str, answer: str = _ERROR, *, fresh: bool = False) -> Row:
    return Row("ourchat-v1", wrong, f'{{"code": {code}, "time": 0, "data": {{{data}}}}}', (answer,), fresh)


_V1 = [
    _v1("a group that one is not in", 0, '"sender": {"ocid": $me, "group_id": $closed}, "msg": "x"'),
    _v1("no group at all", 0, '"sender": {"ocid": $me, "group_id": $missing}, "msg": "x"'),
    _v1("nobody to speak to", 0, '"sender": {"ocid": $me, "private_id": $missing}, "msg": "x"'),
    _v1("oneself to speak to", 0, '"sender": {"ocid": $me, "private_id": $me}, "msg": "x"'),
    _v1("too long a text", 0, '"sender": {"ocid": $me, "group_id": $common}, "msg": "$long"'),
    _v1("what only servers send", 7, '"state": 0'),
    _v1("a mail that is taken", 4, '"email": "$mail", "password": "x", "name": "x"', '"data":{"state":2,'),
    _v1("too long a nickname", 4, '"email": "x@y.test", "password": "x", "name": "$name65"'),
    _v1("a wrong password", 6, '"account": "$mail", "password": "x"', '"data":{"state":1,'),
    _v1("an account that nobody has", 6, '"account": $missing, "password": "x"', '"data":{"state":1,'),
    _v1("too long a group name", 8, '"group_name": "$name129", "ocid": $me'),
    _v1("an application to nobody", 9, '"add_ocid": $missing, "ocid": $me'),
    _v1("an application to oneself", 9, '"add_ocid": $me, "ocid": $me'),
    _v1("an application to no group", 9, '"group_id": $missing, "ocid": $me'),
    _v1("an application to a closed group", 9, '"group_id": $closed, "ocid": $me'),
    _v1("an application to one's own group", 9, '"group_id": $common, "ocid": $me'),
    _v1("a friendship that nobody asked for", 10, '"add_ocid": $me, "ocid": $other'),
    _v1("a stranger pulled into a group", 10, '"group_id": $mine, "ocid": $other'),
    _v1("somebody pulled into a group of others", 10, '"group_id": $common, "ocid": $other'),
    _v1("somebody pulled into a group that one is not in", 10, '"group_id": $closed, "ocid": $me'),
    _v1("nobody's friendship refused", 11, '"ocid": $other'),
    _v1("nobody's application refused", 11, '"group_id": $mine, "ocid": $other'),
    _v1("an application refused by a mere member", 11, '"group_id": $common, "ocid": $other'),
    _v1("a group renamed by a mere member", 12, '"group_id": $common, "ocid": $me, "name": "x"'),
    _v1("a group renamed that one is not in", 12, '"group_id": $closed, "ocid": $me, "name": "x"'),
    _v1("too long a new name", 12, '"ocid": $me, "name": "$name65"'),
    _v1("a message before the login", 0, '"sender": {"ocid": $me, "group_id": $common}, "msg": "x"', fresh=True),
    _v1("a group before the login", 8, '"group_name": "x", "ocid": $me', fresh=True),
    Row("ourchat-v1", "a binary frame", b"\x00", (_ERROR,)),
]  # fmt: skip


def _v2(wrong: str, code: int, rest: str, *answers: str, fresh: bool = False) -> Row:
    return Row("ourchat-v2", wrong, f'{{"code": {code}, {rest}}}', answers or (_ERROR,), fresh)


_TEXT = '"msg": [{"type": 0, "text": "x"}]'

_V2 = [
    _v2("a session that one is not in", 0, '"sender": {"ocid": "$me", "session_id": "$closed"}, ' + _TEXT),
    _v2("no session at all", 0, '"sender": {"ocid": "$me", "session_id": "$missing"}, ' + _TEXT),
    _v2("too long a text", 0, '"sender": {"session_id": "$common"}, "msg": [{"type": 0, "text": "$long"}]'),
    _v2("too many segments", 0, '"sender": {"session_id": "$common"}, "msg": [$segments65]'),
    _v2("what a session that one is not in is like", 1, '"session_id": "$closed", "request_values": ["name"]'),
    _v2("what no session is like", 1, '"session_id": "$missing", "request_values": ["name"]'),
    _v2("a mail that is taken", 4, '"email": "$mail", "password": "x"', '{"code":5,"status":2'),
    _v2("too long a nickname", 4, '"email": "x@y.test", "password": "x", "name": "$name65"'),
    _v2("a wrong password", 6, '"login_type": 0, "account": "$mail", "password": "x"', '{"code":7,"status":1'),
    _v2("an account that nobody has", 6, '"login_type": 1, "account": "$missing", "password": "x"',
        '{"code":7,"status":1'),
    _v2("a session with nobody", 8, '"members": ["$missing"]', '{"code":9,"status":1}', _ERROR),
    _v2("too long a name of a session", 8, '"members": [], "name": "$name129"'),
    _v2("what nobody is like", 10, '"ocid": "$missing", "request_values": ["nickname"]'),
    _v2("too long a new nickname", 19, '"ocid": "$me", "data": {"nickname": "$name65"}'),
    _v2("an avatar that is no address", 19, '"ocid": "$me", "data": {"avatar": "javascript:alert(1)"}'),
    _v2("a message before the login", 0, '"sender": {"session_id": "$common"}, ' + _TEXT, fresh=True),
    _v2("a session before the login", 8, '"members": []', fresh=True),
    _v2("a deletion before the login", 16, '"time": 0', fresh=True),
    _v2("a profile before the login", 19, '"ocid": "$me", "data": {"nickname": "x"}', fresh=True),
    Row("ourchat-v2", "a binary frame", b"\x00", (_ERROR,)),
]  # fmt: skip


_PIPE_ERRORS = [
    ("an unknown command", "dance|x", "error|"),
    ("a line of two", "get_user_friend|$me|$token\nget_user_friend|$me|$token", "get_user_friend_error|"),
    ("a username that is taken", "register|$tag|x|x|1||1|x|0", "register_error|"),
    ("a username like a number", "register|0123456789|x|x|1||1|x|0", "register_error|"),
    ("a username like a mail", "register|x@y.test|x|x|1||1|x|0", "register_error|"),
    ("a wrong password", "login|$tag|x", "login_error|"),
    ("an account that nobody has", "login|u$tag|x", "login_error|"),
    ("a wrong answer", "forget_passwd|$tag|1|wrong|x", "up_pass_error|"),
    ("a wrong question", "forget_passwd|$tag|2|answer|x", "up_pass_error|"),
    ("a password that nobody forgot", "forget_passwd|u$tag|1|answer|x", "up_pass_error|"),
    ("a recovery without an answer", "forget_passwd|$tag|1||x", "up_pass_error|"),
    ("what nobody is like", "get_user_info|$me|$missing|$token", "get_user_info_error|"),
    ("the groups of somebody else", "get_user_group|$other|$token", "get_user_group_error|"),
    ("a group that one is not in", "get_group_info|$me|$closed|$token", "get_group_info_error|"),
    ("no group at all", "get_group_info|$me|$missing|$token", "get_group_info_error|"),
    ("a friendship with nobody", "add_friend|$me|$missing|hi|$token", "add_friend_error|"),
    ("a friendship with oneself", "add_friend|$me|$me|hi|$token", "add_friend_error|"),
    ("too long a request", "add_friend|$me|$other|$long|$token", "add_friend_error|"),
    ("the end of no friendship", "del_friend|$me|$other|$token", "del_friend_error|"),
    ("a request that nobody made", "hand_friend_request|$me|$other|1|$token", "hand_friend_request_error|"),
    ("a group of somebody else", "create_group|$other|x|$token", "create_group_error|"),
    ("a closed group to join", "join_group|$me|$closed|hi|$token", "join_group_error|"),
    ("no group to join", "join_group|$me|$missing|hi|$token", "join_group_error|"),
    ("one's own group to join", "join_group|$me|$mine|hi|$token", "join_group_error|"),
    ("an application that nobody made", "hand_group_request|$other|$mine|1|$token", "hand_group_request_error|"),
    ("an application to a group of others", "hand_group_request|$other|$common|1|$token", "hand_group_request_error|"),
    ("a message to a group that one is not in", "send_message|1|$me|$closed|0|x|$token", "send_message_error|"),
    ("a message to no group", "send_message|1|$me|$missing|0|x|$token", "send_message_error|"),
    ("a message to nobody", "send_message|0|$me|$missing|0|x|$token", "send_message_error|"),
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
    """`answer`: a state, or the cause."""
    held = f'"state_code":{answer}' if isinstance(answer, int) else f'"msg":"failed","cause":"{answer}'
    return Row("service", wrong, f'{{"service_code": {code}, "content": {{{content}}}}}', (held,), fresh)


_T = '"token": "$token", '

_SERVICE = [
    _service_row("an id that is taken", 2, '"id": "$uuid", "token": 5', ""),
    _service_row("a token as a secret", 2, '"id": "$other_uuid", "token": "$token"', 400),
    _service_row("a wrong secret", 1, '"id": "$uuid", "token": 5', ""),
    _service_row("an account that nobody has", 1, '"id": "$other_uuid", "token": 5', ""),
    _service_row("an account that cannot be", 1, '"id": "x", "token": 5', 400),
    _service_row("a walk in a chat that one is not in", 3, _T + '"chat": $closed, "index": -1, "count": 5', 403),
    _service_row("a walk in no chat", 3, _T + '"chat": $missing, "index": -1, "count": 5', 404),
    _service_row("news of a chat that one is not in", 9, _T + '"chat": $closed, "index": 0, "count": 5', 403),
    _service_row("news of no chat", 9, _T + '"chat": $missing, "index": 0, "count": 5', 404),
    _service_row("a message to a chat that one is not in", 5, _T + '"chat": $closed, "msg": "x"', 403),
    _service_row("a message to no chat", 5, _T + '"chat": $missing, "msg": "x"', 404),
    _service_row("no chat to join", 6, _T + '"chat": $missing', 404),
    _service_row("a closed chat to join", 6, _T + '"chat": $closed', ""),
    _service_row("one's own chat to join", 6, _T + '"chat": $common', ""),
    _service_row("a chat with nobody", 7, _T + '"name": "x", "is_group": true, "member": [{"id": "$other_uuid"}]', ""),
    _service_row("a private chat of one", 7, _T + '"name": "x", "is_group": false, "member": []', 400),
    _service_row("a request without a token", 4, "", 401),
    _service_row("a wrong secret in place of a token", 4, '"token": 5', 401),
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


def _native(wrong: str, command: str, code: str, field: str, *, fresh: bool = False) -> Row:
    at_fault = f',"field":"{field}"' if field else ""
    answer = f'{{"re":"x","error":{{"code":"{code}","text":"…"{at_fault}}}}}'
    return Row("native", wrong, f'{{"id": "x", {command}}}', (answer,), fresh)


_NATIVE = [
    _native("an operation that is a number", '"op": 5', "invalid", "op"),
    _native("too long a text", '"op": "send", "chat": $common, "nonce": "n", "text": "$long"', "too_large", "text"),
    _native("a chat that is text", '"op": "send", "chat": "x", "nonce": "n", "text": "x"', "invalid", "chat"),
    _native("a foreign chat", '"op": "send", "chat": $closed, "nonce": "n", "text": "x"', "forbidden", "chat"),
    _native("no chat", '"op": "send", "chat": $missing, "nonce": "n", "text": "x"', "not_found", "chat"),
    _native("nobody to send to", '"op": "send", "to": $missing, "nonce": "n", "text": "x"', "not_found", "to"),
    _native("oneself to send to", '"op": "send", "to": $me, "nonce": "n", "text": "x"', "invalid", "to"),
    _native("an edit of no message", '"op": "edit", "chat": $common, "index": 999, "nonce": "n", "text": "x"',
            "not_found", "index"),
    _native("a recall in a foreign chat", '"op": "recall", "chat": $closed, "index": 1', "forbidden", "chat"),
    _native("a reaction to no message", '"op": "react", "chat": $common, "index": 999, "emoji": "x"',
            "not_found", "index"),
    _native("a pin by a member", '"op": "pin", "chat": $common, "index": 1', "forbidden", "chat"),
    _native("the history of a foreign chat", '"op": "history", "chat": $closed', "forbidden", "chat"),
    _native("the members of a foreign chat", '"op": "members", "chat": $closed', "forbidden", "chat"),
    _native("a name by a member", '"op": "set_chat", "chat": $common, "name": "x"', "forbidden", "chat"),
    _native("a kick by a member", '"op": "kick", "chat": $common, "account": $other', "forbidden", "chat"),
    _native("a role by a member", '"op": "role", "chat": $common, "account": $other, "role": "admin"',
            "forbidden", "chat"),
    _native("too long a group's name", '"op": "create", "name": "$name129"', "too_large", "name"),
    _native("too long a nickname", '"op": "set_profile", "nickname": "$name65"', "too_large", "nickname"),
    _native("a profile of nobody", '"op": "profile", "account": $missing', "not_found", "account"),
    _native("a block of oneself", '"op": "block", "account": $me', "invalid", "account"),
    _native("a link that is none", '"op": "join_link", "link": "x"', "not_found", "link"),
    _native("a search for nothing", '"op": "search", "query": ""', "invalid", "query"),
    _native("a session that is none", '"op": "end_session", "sid": "x"', "not_found", "sid"),
    _native("a wrong old password", '"op": "password", "old": {"scheme": "plain", "value": "x"}, '
            '"new": {"scheme": "plain", "value": "y"}', "unauthenticated", "old"),
    _native("a token of somebody else", '"op": "token", "token": "$foreign"', "unauthenticated", "token"),
    _native("an expired token", '"op": "token", "token": "$expired"', "unauthenticated", "token", fresh=True),
    _native("a tampered token", '"op": "token", "token": "$tampered"', "unauthenticated", "token", fresh=True),
    _native("a message before the login", '"op": "send", "chat": 1, "nonce": "n", "text": "x"',
            "unauthenticated", "", fresh=True),
    Row("native", "an id that is a list", '{"op": "ping", "id": []}', ('"field":"id"}}',)),
    Row("native", "a binary frame", b"\x00", ('{"re":null,"error":{"code":"invalid","text":"',)),
]  # fmt: skip

ROWS = [*_no_objects(), *_V0, *_V1, *_V2, *_pipe(), *_service(), *_NATIVE]
