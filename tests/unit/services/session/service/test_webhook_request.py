"""Tests the signatures of outgoing webhooks with the example of the specification."""

from services.session.service.webhook_delivery import secret_of, sign, signed_headers, webhook_id
from shared.contract.ids import ChatId

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """This is the example in the libraries of Standard Webhooks."""
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


def test_the_headers_of_a_message() -> None:
    headers = signed_headers(SECRET, webhook_id(ChatId(5), 12), 1614265330, b"{}")
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("5.12", "1614265330")
    assert headers["webhook-signature"] == sign(SECRET, "5.12", 1614265330, b"{}")
