"""Tests which processes `dragoman up` starts, and their environments."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from local.credentials import generate
from local.options import load
from local.up_plan import PlannedProcess, UpPlan, defaults, variables
from shared.settings import Settings
from shared.settings.edge import EdgeSettings

EDGE, AUTH = PlannedProcess("edge-2", "edge", 9002, 8081, 54_089), PlannedProcess("auth", "auth", 9001)


def plan(settings: Settings | None = None, *, nats_port: int = 4222, valkey_port: int = 6379) -> UpPlan:
    return UpPlan(settings or Settings(), generate(), nats_port, valkey_port, (AUTH, EDGE))


def settings_in(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in environment.items():
        if name.startswith("DRAGOMAN_"):
            monkeypatch.setenv(name, value)
    return load(None, {})[0]


def test_variables_are_exactly_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(
        None,
        {
            "edge.trusted_proxies": '["10.0.0.0/8"]',
            "limits.rates": "false",
            "nats.password": "se cret",
            "data": "/a path/of mine",
            "edge.drain_seconds": "2.5",
        },
    )[0]
    assert settings_in(variables(settings), monkeypatch) == settings


def test_each_service_gets_its_own_credentials_and_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = plan()
    settings = settings_in(whole.environment(EDGE, {}), monkeypatch)
    assert (settings.nats.user, settings.nats.password.get_secret_value()) == ("edge", whole.credentials.nats["edge"])
    assert settings.redis.url.get_secret_value() == (
        f"redis://edge:{whole.credentials.valkey['edge']}@127.0.0.1:6379/0"
    )
    assert (settings.edge.name, settings.edge.port, settings.ops.port) == ("edge-2", 8081, 9002)
    assert settings.edge.tcp_port == 54_089
    assert not settings.log.json_lines
    assert whole.credentials.nats["auth"] not in str(whole.environment(EDGE, {}))


def test_edges_have_consecutive_ports_for_irc(monkeypatch: pytest.MonkeyPatch) -> None:
    first = PlannedProcess("edge-1", "edge", 9000, 8080)
    settings = Settings(edge={"host": "0.0.0.0"}, irc={"port": 6667, "tls_port": 6697})
    whole = UpPlan(settings, generate(), 1, 2, (AUTH, first, EDGE))
    second = settings_in(whole.environment(EDGE, {}), monkeypatch).irc
    assert (second.port, second.tls_port) == (6668, 6698)
    assert whole.irc_addresses(first) == ["irc://127.0.0.1:6667", "ircs://127.0.0.1:6697"]
    assert plan().irc_addresses(EDGE) == []


def test_external_servers_are_used_by_their_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(None, {"nats.url": "nats://real:4222", "redis.url": "redis://real/0"})[0]
    seen = settings_in(plan(settings, nats_port=0, valkey_port=0).environment(AUTH, {}), monkeypatch)
    assert (seen.nats.url, seen.nats.user) == ("nats://real:4222", "")
    assert seen.redis.url == SecretStr("redis://real/0")


def test_user_s_variables_reach_children_only_as_settings() -> None:
    inherited = {"PATH": "/bin", "DRAGOMAN_EDGE__PORT": "1", "DRAGOMAN_NONSENSE": "x"}
    environment = plan().environment(AUTH, inherited)
    assert environment["PATH"] == "/bin"
    assert "DRAGOMAN_NONSENSE" not in environment
    assert "DRAGOMAN_EDGE__PORT" not in environment


@pytest.mark.parametrize(
    ("host", "url"), [("127.0.0.1", "http://127.0.0.1:8080"), ("::1", "http://[::1]:8080"), ("0.0.0.0", None)]
)
def test_public_url_defaults_to_the_first_edge_on_loopback(host: str, url: str | None) -> None:
    assert defaults(Path("/d"), EdgeSettings(host=host, port=8080)).get("edge.public_url") == url


def test_pages_of_one_edge_may_connect_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    first = PlannedProcess("edge-1", "edge", 9000, 8080)
    whole = UpPlan(Settings(edge={"allowed_origins": ["https://chat.test"]}), generate(), 1, 2, (AUTH, first, EDGE))
    allowed = settings_in(whole.environment(EDGE, {}), monkeypatch).edge.allowed_origins
    assert {"https://chat.test", "http://127.0.0.1:8080", "http://localhost:8080", "http://localhost:8081"} < {*allowed}
    everywhere = UpPlan(Settings(edge={"host": "0.0.0.0"}), generate(), 1, 2, (first, EDGE))
    allowed = settings_in(everywhere.environment(EDGE, {}), monkeypatch).edge.allowed_origins
    assert "http://localhost:8080" in allowed


def test_edges_share_a_media_directory() -> None:
    settings = Settings(media={"directory": defaults(Path("/d"), EdgeSettings())["media.directory"]})
    environment = plan(settings).environment(EDGE, {})
    assert environment["DRAGOMAN_MEDIA__DIRECTORY"] == "/d/media"


@pytest.mark.parametrize(
    ("host", "address"),
    [("0.0.0.0", "ws://127.0.0.1:8081"), ("::1", "ws://[::1]:8081"), ("chat.test", "ws://chat.test:8081")],
)
def test_edge_address_is_reachable(host: str, address: str) -> None:
    planned = plan(Settings(edge=EdgeSettings(host=host)))
    assert planned.address(EDGE) == address
    assert planned.tcp_address(EDGE) == address.replace("ws", "tcp").replace("8081", "54089")
    assert planned.tcp_address(PlannedProcess("edge-1", "edge", 9003, 8080)) == ""


@pytest.mark.parametrize(
    ("set_to", "nats_port", "host", "served"),
    [
        ("auto", 4222, "127.0.0.1", True),
        ("auto", 0, "127.0.0.1", False),
        ("auto", 4222, "0.0.0.0", False),
        ("off", 4222, "127.0.0.1", False),
        ("on", 0, "0.0.0.0", True),
    ],
)
def test_the_first_page_is_for_trying_out(
    set_to: str, nats_port: int, host: str, served: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load(None, {"edge.demo": set_to, "edge.host": host})[0]
    whole = UpPlan(settings, generate(), nats_port, 6379, (AUTH, EDGE), control_port=9100, dashboard_port=9200)
    assert whole.linked_dashboard == (9200 if host == "127.0.0.1" else 0)
    assert whole.first_page == ("http://127.0.0.1:8081/" if served else "")
    seen = settings_in(whole.environment(EDGE, {}), monkeypatch).edge
    assert (seen.demo, seen.supervisor_port) == (("on", 9100) if served else ("off", 0))
