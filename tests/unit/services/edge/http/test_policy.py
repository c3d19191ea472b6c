"""Tests the rate limit of an address, and when pages require TLS."""

import json

import pytest
from starlette.requests import Request

from services.edge.http.policy import HttpPolicy
from services.edge.identicons import avatar_path
from shared.settings import Settings

SECRET_LINK = "/verify/ticket.code"
FILE = f"/media/{'0' * 32}"
AVATAR = avatar_path("account", 1)
PROXIED = {"trusted_proxies": ["10.0.0.0/8"]}


def request(path: str, client: str = "192.0.2.1", method: str = "GET", scheme: str = "http", **headers: str) -> Request:
    named = {"host": "chat.example", **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"a=b",
        "http_version": "1.1", "scheme": scheme, "client": (client, 1),
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }  # fmt: skip
    return Request(scope)


def statuses(policy: HttpPolicy, requests: list[Request], now: float = 0.0) -> list[int]:
    """Sends requests, and returns their statuses. The status 0 means that a request was served."""
    decisions = [policy.decide(one, now) for one in requests]
    return [decision.status_code if decision else 0 for decision in decisions]


def test_links_files_and_avatars_of_one_address_are_counted_together() -> None:
    policy = HttpPolicy(Settings(limits={"page_requests_per_second": 1, "page_requests_burst": 3}))
    assert statuses(policy, [request(path) for path in (SECRET_LINK, FILE, AVATAR, AVATAR)]) == [0, 0, 0, 429]
    assert statuses(policy, [request(FILE, client="192.0.2.2")]) == [0]
    assert statuses(policy, [request(FILE), request(FILE)], now=1.0) == [0, 429]


def test_an_operation_is_rejected_in_the_shape_of_its_errors() -> None:
    policy = HttpPolicy(Settings(limits={"page_requests_per_second": 1, "page_requests_burst": 1}))
    sent = [request(path, method="POST") for path in ("/api/v1/send", "/api/v1/send", "/hooks/secret")]
    _, operation, hook = (policy.decide(one, 0.0) for one in sent)
    assert operation is not None
    assert hook is not None
    assert (operation.status_code, hook.status_code) == (429, 429)
    error = {"code": "rate_limited", "text": "too many requests from this address", "retry_ms": 1000}
    assert json.loads(bytes(operation.body))["error"].items() >= error.items()
    assert {("retry-after", "1"), ("connection", "close")} <= {*operation.headers.items()}
    assert hook.headers["content-type"].startswith("text/plain")


def test_links_have_a_lower_rate_of_their_own() -> None:
    policy = HttpPolicy(Settings())
    links = [request(SECRET_LINK)] * 201
    assert statuses(policy, links) == [0] * 200 + [429]
    assert statuses(policy, [request(AVATAR)]) == [0]
    assert statuses(policy, [request(SECRET_LINK), request(SECRET_LINK)], now=0.1) == [0, 429]


def test_an_office_of_500_users_loads_twenty_pictures_each_at_once() -> None:
    policy = HttpPolicy(Settings())
    assert set(statuses(policy, [request(AVATAR)] * 10_000)) == {0}
    assert statuses(policy, [request(AVATAR)]) == [429]
    assert (
        statuses(HttpPolicy(Settings(limits={"rates": False, "page_requests_burst": 1})), [request(FILE)] * 3)
        == [0] * 3
    )


def test_behind_a_proxy_each_client_is_counted() -> None:
    policy = HttpPolicy(Settings(edge=PROXIED, limits={"page_requests_burst": 1}))
    clients = [request(FILE, client="10.0.0.1", x_forwarded_for=f"192.0.2.{number}") for number in (1, 2, 1)]
    assert statuses(policy, clients) == [0, 0, 429]


def test_an_ipv6_subscriber_is_counted_as_one_whatever_its_addresses() -> None:
    policy = HttpPolicy(Settings(limits={"page_requests_burst": 3}))
    subscriber = [f"2001:db8:0:1::{number}" for number in range(4)]
    assert statuses(policy, [request(FILE, client=address) for address in subscriber]) == [0, 0, 0, 429]
    other = HttpPolicy(Settings(limits={"links_burst": 1}))
    assert statuses(other, [request(SECRET_LINK, client=address) for address in subscriber[:2]]) == [0, 429]
    assert statuses(policy, [request(FILE, client="2001:db8:0:2::1")]) == [0]


@pytest.mark.parametrize("path", ["/", SECRET_LINK, "/web/first.js"])
def test_pages_lead_to_tls_by_setting(path: str) -> None:
    policy = HttpPolicy(Settings(edge={"redirect_to_tls": True, **PROXIED}))
    decision = policy.decide(request(path), 0.0)
    assert decision is not None
    assert (decision.status_code, decision.headers["Location"]) == (308, f"https://chat.example{path}?a=b")
    secure = request(path, client="10.0.0.1", x_forwarded_proto="https")
    assert statuses(policy, [secure, request(path, scheme="https")]) == [0, 0]
    assert statuses(policy, [request(path, method="POST")]) == [0]
    assert statuses(HttpPolicy(Settings()), [request(path)]) == [0], "off by default"


def test_the_public_url_names_the_host() -> None:
    policy = HttpPolicy(Settings(edge={"redirect_to_tls": True, "public_url": "https://chat.test:8443"}))
    decision = policy.decide(request("/"), 0.0)
    assert decision is not None
    assert decision.headers["Location"] == "https://chat.test:8443/?a=b"


@pytest.mark.parametrize("path", [FILE, AVATAR, "/ws", "/ws/ourchat-v0"])
def test_what_legacy_clients_open_is_never_redirected_and_demands_nothing(path: str) -> None:
    policy = HttpPolicy(Settings(edge={"redirect_to_tls": True, "hsts_seconds": 60}))
    assert statuses(policy, [request(path)]) == [0]
    assert policy.headers(request(path, scheme="https")) == {}


def test_pages_by_tls_demand_it_from_then_on_by_setting() -> None:
    policy = HttpPolicy(Settings(edge={"hsts_seconds": 60}))
    assert policy.headers(request("/", scheme="https")) == {"Strict-Transport-Security": "max-age=60"}
    assert policy.headers(request("/")) == {}
    assert HttpPolicy(Settings()).headers(request("/", scheme="https")) == {}
