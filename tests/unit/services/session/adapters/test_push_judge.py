"""Compares with the libraries of other authors. pywebpush encrypts for a device, and reads Dragoman's notifications;
py_vapid verifies Dragoman's tokens.
"""

import json

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from py_vapid import Vapid02
from pywebpush import WebPusher

from services.session.adapters.web_push import MAX_PLAINTEXT, Vapid, encrypt, pad
from shared.vapid import make_key, private_key
from tests.support.push_device import PushedDevice, data, text

_AUTH = st.binary(min_size=16, max_size=16)


@given(st.binary(max_size=MAX_PLAINTEXT), _AUTH)
def test_another_implementation_reads_what_we_encrypt(content: bytes, auth: bytes) -> None:
    key = make_key()
    point = PushedDevice(key).point
    body = encrypt(pad(content), point, auth, ec.generate_private_key(ec.SECP256R1()), b"0123456789abcdef")
    assert http_ece.decrypt(body, private_key=private_key(key), auth_secret=auth) == content
    assert len(body) == 4_096


@given(st.binary(min_size=1, max_size=MAX_PLAINTEXT), _AUTH)
def test_the_device_of_the_tests_reads_what_another_implementation_encrypts(content: bytes, auth: bytes) -> None:
    device = PushedDevice(auth=text(auth))
    members = device.members("https://push.example/")
    keys = {name: members[name] for name in ("p256dh", "auth")}
    encrypted = WebPusher({"endpoint": members["endpoint"], "keys": keys}).encode(content)
    assert encrypted is not None
    assert device.decrypt(encrypted["body"]) == content


def test_another_implementation_accepts_our_tokens() -> None:
    vapid, now = Vapid(make_key(), "mailto:admin@chat.example"), 1_795_000_000
    token, _, key = vapid.authorization("https://push.example", now).removeprefix("vapid t=").partition(", k=")
    assert Vapid02.verify(f"vapid t={token},k={key}")
    assert not Vapid02.verify(f"vapid t={token},k={Vapid(make_key(), '').public}")
    claims = {"aud": "https://push.example", "exp": now + 12 * 3_600, "sub": "mailto:admin@chat.example"}
    assert json.loads(data(token.split(".")[1])) == claims
