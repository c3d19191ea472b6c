"""A subscription with an invalid device or contact is rejected. The error says what to change."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.session.service.push_texts import PushTexts
from services.session.service.subscriptions import PushLogins, Subscriptions
from shared.contract.errors import ErrorCode
from shared.contract.push import GetPushKey, Subscribe
from shared.database import Database
from shared.settings import Settings
from shared.vapid import make_key
from tests.support.push_device import PushedDevice, text
from tests.unit.services.session.service.test_push_delivery import ScriptedServices
from tests.unit.services.session.store_harness import BOB, StoreHarness, rejection


def subscriptions_of(database: Database, url: str = "https://chat.example", **push: Any) -> Subscriptions:
    settings, services = Settings(push=push, edge={"public_url": url}), ScriptedServices()
    return Subscriptions(database, PushLogins(services.request), services, PushTexts(settings), settings)


def wanted(**changed: str) -> Subscribe:
    members: dict[str, Any] = {"sid": "s", **PushedDevice().members("https://push.example/x"), **changed}
    return Subscribe(**members, actor=BOB)


async def test_what_is_no_device_is_rejected(database: Database) -> None:
    subscriptions = subscriptions_of(database, key=make_key())
    cases: list[tuple[dict[str, str], ErrorCode, str, str]] = [
        ({"endpoint": "http://push.example/x"}, ErrorCode.INVALID, "endpoint", "an address begins with https://"),
        ({"endpoint": "https://10.0.0.1/x"}, ErrorCode.INVALID, "endpoint", "requests may not go to this address"),
        ({"endpoint": "https://[::1]/x"}, ErrorCode.INVALID, "endpoint", "requests may not go to this address"),
        ({"endpoint": "https://internal/x"}, ErrorCode.INVALID, "endpoint", "public name of a push service"),
        ({"endpoint": "x" * 2_049}, ErrorCode.TOO_LARGE, "endpoint", "at most 2048 bytes"),
        ({"endpoint": ""}, ErrorCode.INVALID, "endpoint", "an address is http(s)://host"),
        ({"p256dh": text(b"\4" + b"\1" * 64)}, ErrorCode.INVALID, "p256dh", "uncompressed P-256 point"),
        ({"p256dh": ""}, ErrorCode.INVALID, "p256dh", "uncompressed P-256 point"),
        ({"auth": text(b"x" * 15)}, ErrorCode.INVALID, "auth", "16 bytes in base64url"),
        ({"kind": "pigeon"}, ErrorCode.INVALID, "kind", "a subscription is web or unifiedpush or irc or mail"),
        ({"key": text(b"x" * 65)}, ErrorCode.CONFLICT, "key", "the key of this server has changed"),
        ({"sid": ""}, ErrorCode.INVALID, "", "log in again"),
    ]
    for changed, code, field, sentence in cases:
        failure = await rejection(subscriptions.subscribe(wanted(**changed)))
        assert (failure.code, failure.field) == (code, field)
        assert sentence in failure.text


async def test_a_server_without_a_key_or_https_names_the_setting(database: Database) -> None:
    assert (await rejection(subscriptions_of(database).key(GetPushKey(actor=BOB)))).code is ErrorCode.FORBIDDEN
    plain = subscriptions_of(database, "http://chat.example", key=make_key())
    assert "edge.public_url to https://" in (await rejection(plain.subscribe(wanted(kind="web")))).text
    store = StoreHarness(database)
    await store.add_profiles(BOB)
    assert (await plain.subscribe(wanted())).subscription, "UnifiedPush needs no page"


@pytest.mark.parametrize("contact", ["mailto:x@localhost", "http://chat.example", "operator", "https://localhost"])
def test_a_contact_that_push_services_reject_is_rejected_at_start(contact: str) -> None:
    with pytest.raises(ValidationError, match="because push services reject other contacts"):
        Settings(push={"contact": contact})
