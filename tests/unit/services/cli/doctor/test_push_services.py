"""Tests what `dragoman doctor` reports about the push services of devices."""

import ssl
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.cli.doctor import push
from services.cli.doctor.finding import Finding
from shared.settings import Settings
from shared.vapid import make_key
from tests.support.tls_servers import Certificates
from tests.support.webhook_receiver import WebhookReceiver

_MAILING = {"key": make_key(), "mail_minutes": 30.0}


async def test_mails_that_are_set_but_never_sent_are_a_fault(tmp_path: Path) -> None:
    async def finding(**settings: Any) -> Finding:
        return (await push.check(Settings(data=tmp_path, push=_MAILING, **settings), makes_key=False))[0]

    public: dict[str, Any] = {"edge": {"public_url": "https://chat.example"}}
    assert (await finding(**public)).good
    for settings in (public | {"mail": {"outbox": ""}}, {}):
        found = await finding(**settings)
        assert (found.good, "push.mail_minutes" in found.text) == (False, True)


async def test_push_services_are_reached_and_agree_on_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates = Certificates(tmp_path / "tls", "127.0.0.1")
    context = ssl.create_default_context(cafile=certificates["ca.crt"])
    settings = Settings(push={"permitted_networks": ["127.0.0.0/8"]})

    async def finding(origin: str) -> Finding:
        (found,) = await push.services([origin], settings, context)
        return found

    with WebhookReceiver(tls=certificates.server_context()) as service:
        origin = service.url().rsplit("/", 1)[0]
        assert (await finding(origin)).good
        monkeypatch.setattr("services.cli.doctor.push.time", SimpleNamespace(time=lambda: time.time() - 3_600))
        late = await finding(origin)
        wrong = "Thu, 01 Jan 2020 00:00:00 +9999999999999"
        monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda *_: wrong)
        assert (await finding(origin)).good, "users choose the services, which may say anything"
    assert (late.good, "60 minutes late: let NTP set the clock" in late.text) == (False, True)
    gone = await finding(origin)
    assert (gone.good, "cannot be reached: permit session https" in gone.text) == (False, True)
