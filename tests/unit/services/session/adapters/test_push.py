"""Tests how notifications are encrypted, with the example of the standard and with random texts.

Also tests the meaning of each response of a push service.
"""

import json
import ssl
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.session.adapters.outgoing import HttpPushSender, service_of
from services.session.adapters.web_push import MAX_PLAINTEXT, Vapid, encrypt, pad
from services.session.metrics import SessionMetrics
from services.session.service.ports import PushFailed, PushMessage, PushResult
from services.session.store.subscriptions import PushDevice
from shared.base64url import decode
from shared.contract.ids import AccountId
from shared.settings import Settings
from shared.vapid import make_key, private_key, public_point, public_text
from tests.support.push_device import PushedDevice, data, text
from tests.support.tls_servers import Certificates
from tests.support.webhook_receiver import Received, WebhookReceiver

_RFC = {
    "server": "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw",
    "device": "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94",
    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
    "salt": "DGv6ra1nlYgDCS1FRnbzlw",
    "body": "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6P"
    "Bru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN",
}
"""The values of RFC 8291, appendix A."""


def test_the_example_of_the_standard() -> None:
    device = PushedDevice(_RFC["device"], _RFC["auth"])
    wanted = b"When I grow up, I want to be a watermelon"
    body = encrypt(wanted + b"\2", device.point, data(_RFC["auth"]), private_key(_RFC["server"]), data(_RFC["salt"]))
    assert text(body) == _RFC["body"]
    assert device.decrypt(body) == wanted


def test_too_long_a_text_is_no_notification() -> None:
    with pytest.raises(ValueError, match="3993"):
        pad(b"x" * (MAX_PLAINTEXT + 1))


def test_a_token_is_used_again_until_it_is_old_and_a_topic_has_no_number() -> None:
    vapid = Vapid(make_key(), "mailto:a@b.example")
    first = vapid.authorization("https://push.example", 1_000)
    assert vapid.authorization("https://push.example", 1_000 + 39_000) == first
    assert vapid.authorization("https://push.example", 1_000 + 41_000) != first
    assert vapid.authorization("https://other.example", 1_000) != first
    early = vapid.authorization("https://other.example", 900_000)
    assert vapid.authorization("https://other.example", 1_000) != early, "the clock went wrong, and is corrected"
    vapid.forget("https://push.example")
    for number in range(2_000):
        vapid.authorization(f"https://{number}.example", 1_000)
    assert len(vapid._tokens) == 1_000
    topic = vapid.topic(_device(""), "5")
    assert len(topic) == 32
    assert topic != vapid.topic(_device(""), "6")


def _device(endpoint: str, key: str = "") -> PushDevice:
    own = PushedDevice().members(endpoint)
    origin = "/".join(endpoint.split("/")[:3])
    return PushDevice(1, AccountId(2), "s", endpoint, origin, own["p256dh"], own["auth"], key, "", 0, 0)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("push") / "tls", "127.0.0.1")


class Sending:
    def __init__(self, certificates: Certificates, **push: object) -> None:
        self.key = make_key()
        settings = Settings(push={"key": self.key, "timeout_seconds": 1.0, **push})
        context = ssl.create_default_context(cafile=certificates["ca.crt"])
        self.sender = HttpPushSender(settings, SessionMetrics(CollectorRegistry()), context)

    async def send(self, endpoint: str) -> None:
        device = _device(endpoint, public_text(self.key))
        try:
            await self.sender.send(device, PushMessage(b"{}", "5", urgent=True))
        finally:
            self.sender.close()


def _slowly(_: Received) -> int:
    time.sleep(2)
    return 201


_HERE = ["127.0.0.0/8"]


@pytest.mark.parametrize(
    ("status", "headers", "result", "pause"),
    [
        (410, {}, PushResult.GONE, 0),
        (404, {}, PushResult.GONE, 0),
        (429, {"Retry-After": "120"}, PushResult.THROTTLED, 120),
        (503, {"Retry-After": "tomorrow"}, PushResult.FAILED, 0),
        (500, {}, PushResult.FAILED, 0),
        (403, {}, PushResult.REJECTED, 0),
        (307, {"Location": "https://127.0.0.1:1/"}, PushResult.FAILED, 0),
    ],
)
async def test_what_a_response_means(
    certificates: Certificates, status: int, headers: dict[str, str], result: PushResult, pause: float
) -> None:
    with WebhookReceiver(lambda _: status, certificates.server_context()) as service:
        service.headers = headers
        with pytest.raises(PushFailed, match=f"status {status}") as failed:
            await Sending(certificates, permitted_networks=_HERE).send(service.url())
    assert (failed.value.result, failed.value.retry_seconds) == (result, pause)
    assert len(service.received) == 1, "no redirect is followed"


async def test_a_service_that_hangs_or_is_private_or_has_another_certificate_fails(
    certificates: Certificates, tmp_path: Path
) -> None:
    with pytest.raises(PushFailed, match="cannot be reached"):
        await Sending(certificates).send("https://127.0.0.1:9/")
    with WebhookReceiver(tls=Certificates(tmp_path / "tls", "127.0.0.1").server_context()) as other:
        with pytest.raises(PushFailed, match="certificate"):
            await Sending(certificates, permitted_networks=_HERE).send(other.url())
    with WebhookReceiver(_slowly, certificates.server_context()) as slow:
        with pytest.raises(PushFailed, match="no response in time"):
            await Sending(certificates, permitted_networks=_HERE).send(slow.url())
        assert slow.begun.is_set()


async def test_a_device_of_an_unknown_key_waits_for_the_operator_to_restore_it(certificates: Certificates) -> None:
    with WebhookReceiver(tls=certificates.server_context()) as service:
        sending = Sending(certificates, permitted_networks=_HERE)
        sending.key = make_key()
        with pytest.raises(PushFailed) as failed:
            await sending.send(service.url())
    assert failed.value.result is PushResult.REJECTED
    assert service.received == []


def test_metrics_name_the_services_of_browsers() -> None:
    assert service_of("https://web.push.apple.com") == "push.apple.com"
    assert service_of("https://fcm.googleapis.com") == "fcm.googleapis.com"
    assert service_of("https://ntfy.chat.example:8443", ["ntfy.chat.example"]) == "ntfy.chat.example"
    assert service_of("https://notpush.apple.com:8443") == service_of("https://push.apple.com.example") == "other"


def test_points_and_keys_are_texts() -> None:
    key = make_key()
    assert decode(public_text(key)) == public_point(private_key(key).public_key())
    assert json.dumps(key).isascii()
