"""Plain TCP clients of several dialects chat with WebSocket clients."""

import hashlib
import secrets
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.cluster import Cluster
from tests.system.conftest import Dial
from tests.system.users import Frame, TcpUser, V2User

pytestmark = pytest.mark.xdist_group("system")

Call = Callable[[int], TcpUser]
BREAKS = "one\ntwo\r\u2028three|four\nmessage|0|1|1|forged"
ON_ONE_LINE = "one two  three|four message|0|1|1|forged"


@pytest.fixture
def call(system: Cluster) -> Iterator[Call]:
    """A function that opens connections to the edge with this number. They end with the test."""
    with ExitStack() as stack:
        yield lambda edge: stack.enter_context(TcpUser(system.tcp[edge]))


def a_name() -> str:
    return f"n{secrets.token_hex(6)}"


# OurChat v0


class First:
    """A client of 2022, which has a nickname, the hash of a password, and the lobby."""

    def __init__(self, plain: TcpUser) -> None:
        self.plain = plain
        self.secret = hashlib.sha256(b"secret").hexdigest()
        registration: Frame = {"code": 4, "data": {"nick": a_name(), "password": self.secret}}
        self.ocid = plain.request(registration, 5)["data"]["ocId"]

    def text(self, text: str) -> Frame:
        return {"code": 0, "data": {"cid": 1, "sender_id": self.ocid, "msg": text}}

    def hears(self, text: str) -> Frame:
        return self.plain.receive_where(lambda frame: frame["code"] == 0 and frame["data"]["msg"] == text)

    def login(self, plain: TcpUser) -> None:
        self.plain = plain
        plain.request({"code": 6, "data": {"ocId": self.ocid, "password": self.secret}}, 7)


def test_the_clients_of_2022_post_in_the_lobby(call: Call) -> None:
    one, two = First(call(0)), First(call(1))
    texts = [f"{number} {a_name()} 你好" for number in range(3)]
    packet = "".join(f'{{"code":0,"data":{{"cid":1,"sender_id":"{one.ocid}","msg":"{text}"}}}}' for text in texts)
    data = packet.encode()
    for at in range(0, len(data), 7):
        one.plain.send(data[at : at + 7])
    for text in texts:
        assert one.hears(text) == two.hears(text) == one.text(text)


def test_messages_received_by_tcp_are_not_repeated(call: Call) -> None:
    """The client waits until the edge has noticed its end.

    If a message is sent to a connection that is closed, it is reset, and the edge cannot know what has arrived.
    """
    one, two = First(call(0)), First(call(1))
    first, second = a_name(), a_name()
    one.plain.send(one.text(first))
    two.hears(first)
    two.plain.end_sending()
    while two.plain.receive_line():
        pass
    one.plain.send(one.text(second))
    one.hears(second)
    two.login(call(0))
    assert two.plain.receive_code(0)["data"]["msg"] == second


# The other dialects


def test_ourchat_v2_among_websockets(system: Cluster, call: Call, dial: Dial) -> None:
    friend, plain = dial(system.edges[0]).register(), call(1)
    account = V2User.registration(friend.account) | {"email": f"{a_name()}@dragoman.test"}
    ocid = plain.request(account, 5)["ocid"]
    session = plain.request({"code": 8, "members": [f"{friend.account.number:010d}"]}, 9)["session_id"]
    friend.receive_code(9)
    friend.list_session(int(session))
    plain.send({"code": 0, "sender": {"ocid": ocid, "session_id": session}, "msg": [{"type": 0, "text": BREAKS}]})
    assert plain.receive_code(0)["msg"][0]["text"] == friend.receive_text(BREAKS)["msg"][0]["text"] == BREAKS


def test_service(call: Call) -> None:
    plain, own = call(0), str(uuid.uuid4())
    plain.send({"service_code": 2, "content": {"id": own, "token": 1145}})
    assert plain.receive()["content"]["msg"] == "success"
    plain.send({"service_code": 7, "content": {"token": 1145, "name": "群", "is_group": True, "member": [{"id": own}]}})
    chat = plain.receive()["content"]["chat"]
    message: Frame = {"service_code": 5, "content": {"token": 1145, "chat": chat, "msg": BREAKS}}
    plain.send(message, "\n", message)
    assert [plain.receive()["content"]["index"], plain.receive()["content"]["index"]] == [1, 2]
    plain.send({"service_code": 9, "content": {"token": 1145, "chat": chat, "index": 0, "count": 5}})
    assert [value["content"] for value in plain.receive()["content"]["values"]] == [BREAKS] * 2


class PipeTcpClient:
    def __init__(self, plain: TcpUser) -> None:
        self.plain = plain
        name, secret = a_name(), hashlib.md5(b"secret", usedforsecurity=False).hexdigest()
        assert self.request(f"register|{name}|{secret}|{name}|1|hello|1|answer|0") == "register_succ|注册成功！"
        _, _, self.uid, self.token, _ = self.request(f"login|{name}|{secret}").split("|")

    def request(self, line: str) -> str:
        self.plain.send(f"{line}\r\n")
        return self.plain.receive_line()


def test_pipe_in_lines_that_cannot_be_forged(system: Cluster, call: Call, dial: Dial) -> None:
    one, two = PipeTcpClient(call(0)), PipeTcpClient(call(1))
    sent = one.request(f"send_message|0|{one.uid}|{two.uid}|0|a|b|{one.token}")
    assert sent == "send_message_succ|发送成功！"
    assert two.plain.receive_line().split("|", 4)[4] == "a|b"
    stranger = dial(system.edges[0]).register()
    session = stranger.request({"code": 8, "members": [f"{int(one.uid):010d}"]}, 9)["session_id"]
    stranger.post(int(session), BREAKS)
    assert one.plain.receive_line().split("|", 4)[4].endswith(f": {ON_ONE_LINE}")
    assert one.request("nonsense|") == "error|there is no such command"


def test_pipelined_lines_are_answered_before_the_end(call: Call) -> None:
    plain = call(0)
    secret = hashlib.md5(b"secret", usedforsecurity=False).hexdigest()
    name = a_name()
    plain.send(f"register|{name}|{secret}|{name}|1|hello|1|answer|0\nlogin|{name}|{secret}")
    plain.end_sending()
    assert plain.receive_line() == "register_succ|注册成功！"
    assert plain.receive_line().startswith("login_succ|")
    assert plain.receive_line() == ""
