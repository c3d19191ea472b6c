"""Requests of outgoing hooks: the signature against the example of the specification, and what is on the wire."""

import pytest

from services.session.service.hook_address import parse_url
from services.session.service.hook_request import (
    parse_status,
    request_bytes,
    secret_of,
    sign,
    signed_headers,
    webhook_id,
)
from shared.contract.ids import ChatId

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of the libraries of Standard Webhooks."""
    body = b'{"test": 2432232314}'
    signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == signature


def test_a_secret() -> None:
    assert secret_of(b"not a secret") == "whsec_bm90IGEgc2VjcmV0"


def test_the_signature_depends_on_everything() -> None:
    signed = {
        sign(secret, number, timestamp, body)
        for secret in (SECRET, secret_of(b"another key"))
        for number in ("5.1", "5.2")
        for timestamp in (1, 2)
        for body in (b"{}", b"{ }")
    }
    assert len(signed) == 16


def test_a_request() -> None:
    body = b'{"ev":"message"}'
    headers = signed_headers(SECRET, webhook_id(ChatId(5), 12), 1614265330, body)
    head, _, sent = request_bytes(parse_url("https://a.example:8443/x?y=1"), headers, body).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert (lines[0], sent) == ("POST /x?y=1 HTTP/1.1", body)
    fields = dict(line.split(": ", 1) for line in lines[1:])
    assert fields["Host"] == "a.example:8443"
    assert (fields["Content-Type"], fields["Content-Length"]) == ("application/json", str(len(body)))
    assert (fields["webhook-id"], fields["webhook-timestamp"]) == ("5.12", "1614265330")
    assert fields["webhook-signature"] == sign(SECRET, "5.12", 1614265330, body)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"HTTP/1.1 200 OK\r\n", 200), (b"HTTP/1.0 204\r\n", 204), (b"HTTP/1.1 503 \n", 503), (b"", None),
        (b"HTTP/2 200\r\n", None), (b"HTTP/1.1 2000 OK\r\n", None), (b"SSH-2.0-OpenSSH\r\n", None),
        (b"HTTP/1.1 999 x\r\n", None), (b" HTTP/1.1 200 OK\r\n", None),
    ],
)  # fmt: skip
def test_the_status_of_a_response(line: bytes, status: int | None) -> None:
    assert parse_status(line) == status
