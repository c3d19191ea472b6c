"""Arbitrary frames from several connections at once: each gets one answer, and no other user is affected."""

import json
import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clients.codec.base import ClientAccount
from tests.support.cluster import Cluster
from tests.system.conftest import Dial
from tests.system.frames import frames
from tests.system.users import Frame, V2User, new_account

pytestmark = pytest.mark.xdist_group("system")

STATUS = {"code": 12, "status": 0}
ANSWERS = {0, 2, 5, 7, 9, 11, 12, 15, 18, 20}
soak = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def bystanders(system: Cluster) -> Iterator[tuple[V2User, V2User, int]]:
    """Two users who chat while others send garbage."""
    with V2User(system.edges[0]) as one, V2User(system.edges[1]) as two:
        for client in (one, two):
            client.register()
        yield one, two, one.session(two)


@pytest.fixture(scope="module")
def accounts(system: Cluster) -> list[ClientAccount]:
    with V2User(system.edges[0]) as client:
        return [client.register(new_account()).account for _ in range(2)]


@soak
@given(data=st.data())
def test_every_frame_gets_one_answer(
    system: Cluster, accounts: list[ClientAccount], bystanders: tuple[V2User, V2User, int], data: st.DataObject
) -> None:
    """From four connections at once, two of them logged in, over both edges."""
    with ExitStack() as stack:
        vandals = [stack.enter_context(V2User(system.edges[number % 2])) for number in range(4)]
        for client, account in zip(vandals, accounts, strict=False):
            client.login(account)
        sent = [_send_garbage(client, data) for client in vandals]
        for client, count in zip(vandals, sent, strict=True):
            answers = [_answer(client) for _ in range(count)]
            assert {answer["code"] for answer in answers} <= ANSWERS
            assert answers[-1] == STATUS
        for client in vandals:
            client.receive_nothing(0)
    _chat(bystanders)


def _send_garbage(client: V2User, data: st.DataObject) -> int:
    """Sends the drawn frames, pings between them, and a valid request last; returns the number of expected answers."""
    garbage = data.draw(st.lists(frames(client.account.number), max_size=12))
    for frame in garbage:
        client.send(frame)
        if data.draw(st.booleans()):
            client.connection.websocket.ping()
    client.send({"code": 12})
    return len(garbage) + 1


def _answer(client: V2User) -> Frame:
    """A rejected 8 is answered by its status and then by the reason: together they are one answer."""
    answer = client.read()
    if answer["code"] == 9 and answer["status"] != 0:
        assert client.read()["code"] == 18
    return answer


@pytest.mark.parametrize(
    "frame",
    [
        "x" * (64 * 1024 + 1), b"x" * (1024 * 1024 + 1), "[" * 1000, json.dumps({"code": 16}),
        f'{{"code":0,"x":{"[" * 1_500}{"]" * 1_500}}}',
    ],
)  # fmt: skip
def test_too_large_too_deep_or_too_early_frames_only_get_an_error(
    system: Cluster, dial: Dial, frame: str | bytes
) -> None:
    client = dial(system.edges[0])
    client.send(frame)
    assert client.read()["code"] == 18
    assert client.request({"code": 12}, 12) == STATUS


def raw(opcode: int, payload: bytes, *, masked: bool = True, final: bool = True) -> bytes:
    """A WebSocket frame as on the wire, masked with zeros."""
    head = bytes([(0x80 if final else 0) | opcode])
    mask_bit = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head += bytes([mask_bit | size])
    elif size < 1 << 16:
        head += struct.pack(">BH", mask_bit | 126, size)
    else:
        head += struct.pack(">BQ", mask_bit | 127, size)
    return head + (bytes(4) if masked else b"") + payload


def _chat(bystanders: tuple[V2User, V2User, int]) -> None:
    one, two, session = bystanders
    for here, there in ((one, two), (two, one)):
        text = f"still here {os.urandom(6).hex()}"
        here.post(session, text)
        there.receive_text(text)
        here.receive_nothing(0)
        there.receive_nothing(0)
