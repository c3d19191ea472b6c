"""Tests the sources of settings, and which values are rejected."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from local.options import WrongForm, load
from shared.settings import Settings
from shared.settings.servers import DatabaseSettings


def test_flags_over_environment_over_file_over_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "dragoman.toml"
    file.write_text('[edge]\nport = 1\nname = "file"\nhost = "127.0.0.9"\n')
    monkeypatch.setenv("DRAGOMAN_EDGE__PORT", "2")
    monkeypatch.setenv("DRAGOMAN_EDGE__NAME", "environment")
    settings, sources = load(file, {"edge.port": "3"})
    assert (settings.edge.port, settings.edge.name, settings.edge.host) == (3, "environment", "127.0.0.9")
    assert settings.edge.max_connections == Settings().edge.max_connections
    assert sources == {"edge.port": "flag", "edge.name": "environment", "edge.host": str(file)}


def test_lists_are_json() -> None:
    assert load(None, {"edge.trusted_proxies": '["10.0.0.0/8", "::1/128"]'})[0].edge.trusted_proxies == [
        "10.0.0.0/8",
        "::1/128",
    ]


def test_unknown_settings_and_invalid_values_are_rejected() -> None:
    for name, value in (
        ("edge.port", "http"),
        ("edge.port", "65536"),
        ("edge.prot", "8080"),
        ("edge", "8080"),
        ("log.level", "loud"),
        ("mail.smtp_security", "please"),
        ("limits.text_frame_bytes", "0"),
        ("limits.text_frame_bytes", "1000000"),
        ("limits.message_text_bytes", "1000000"),
        ("nats.url", "127.0.0.1:4222"),
        ("nats.url", "nats://a:4222,"),
        ("redis.url", "127.0.0.1:6379"),
        ("database.url", "mysql://ann:secret@host/name"),
        ("database.url", "chat.db"),
        ("edge.public_url", "chat.example"),
        ("edge.public_url", "https://chat.example/path?query"),
        ("edge.chat_embedders", '["*"]'),
        ("edge.trusted_proxies", '["everybody"]'),
        ("edge.ping_interval_seconds", "inf"),
        ("auth.hash_threads", "0"),
        ("message.batch_rows", "0"),
        ("message.reply_bytes", "1000000"),
        ("limits.failed_logins_per_account", "-1"),
        ("tracing.endpoint", "collector:4318"),
        ("tracing.endpoint", "https://ann:secret@collector:4318"),
        ("tracing.sample_ratio", "1.1"),
        ("irc.guest_password", "ann:secret"),
        ("announcements.name", " Dragoman"),
        ("announcements.name", "two|parts"),
        ("announcements.name", "line\u200bline"),
        ("announcements.name", "n" * 65),
    ):
        with pytest.raises(ValidationError) as caught:
            load(None, {name: value})
        place = caught.value.errors()[0]["loc"]
        assert ".".join(part for part in place if isinstance(part, str)) == name, value


def test_every_service_has_a_database_of_its_own() -> None:
    for url, expected in (
        ("sqlite:////data/{service}.db", "sqlite:////data/auth.db"),
        ("postgresql://u:p@h/db_{service}", "postgresql+psycopg://u:p@h/db_auth"),
        ("postgres://u:p@h/db", "postgresql+psycopg://u:p@h/db?options=-csearch_path%3Dauth"),
        (
            "postgresql+psycopg://h/db?sslmode=require",
            "postgresql+psycopg://h/db?sslmode=require&options=-csearch_path%3Dauth",
        ),
        (
            "postgresql://h/db?options=-c%20work_mem%3D8MB&sslmode=require",
            "postgresql+psycopg://h/db?options=-c%20work_mem%3D8MB%20-csearch_path%3Dauth&sslmode=require",
        ),
    ):
        assert Settings(database=DatabaseSettings(url=SecretStr(url))).database_url("auth") == expected


def test_certificates_are_beside_the_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "dragoman.toml"
    file.write_text('[nats]\ntls_ca = "ca.crt"\ntls_key = "/keys/own.key"\n')
    settings, _ = load(file, {"database.tls_ca": "other.crt"})
    assert (settings.nats.tls_ca, settings.nats.tls_key) == (str(tmp_path / "ca.crt"), "/keys/own.key")
    assert settings.database.tls_ca == "other.crt"


def test_tls_of_postgresql_is_in_its_url() -> None:
    for files, query in (
        ({"tls_ca": "/a b.crt"}, "&sslmode=verify-full&sslrootcert=%2Fa+b.crt"),
        ({"tls_certificate": "c"}, "&sslmode=verify-full&sslrootcert=system&sslcert=c&sslkey=c"),
        ({"tls_ca": "a", "tls_certificate": "c", "tls_key": "k"},
         "&sslmode=verify-full&sslrootcert=a&sslcert=c&sslkey=k"),
    ):  # fmt: skip
        settings = Settings(database=DatabaseSettings(url=SecretStr("postgresql://h/db"), **files))
        assert settings.database_url("auth") == f"postgresql+psycopg://h/db?options=-csearch_path%3Dauth{query}"


def test_redis_over_tls_has_a_url_of_tls() -> None:
    with pytest.raises(ValidationError, match=r"redis.url must begin with rediss://"):
        load(None, {"redis.url": "redis://127.0.0.1", "redis.tls_ca": "ca.crt"})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("announcements.name", "[System]", "[System]"),
        ("announcements.name", "通知\u3000✓", "通知\u3000✓"),
        ("mail.smtp_password", "[1, 2]", SecretStr("[1, 2]")),
        ("edge.host", "[::1]", "::1"),
        ("edge.host", "localhost", "localhost"),
        ("edge.trusted_proxies", '["::1"]', ["::1"]),
    ],
)
def test_only_lists_are_read_as_json(name: str, value: str, expected: object, monkeypatch: pytest.MonkeyPatch) -> None:
    section, _, leaf = name.partition(".")
    assert getattr(getattr(load(None, {name: value})[0], section), leaf) == expected
    monkeypatch.setenv(f"DRAGOMAN_{section}__{leaf}".upper(), value)
    assert getattr(getattr(load(None, {})[0], section), leaf) == expected


@pytest.mark.parametrize("value", ["10.0.0.0/8", "[10.0.0.0/8]", "{}", ""])
def test_a_list_in_another_form_is_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WrongForm, match=r"edge.trusted_proxies should be a list"):
        load(None, {"edge.trusted_proxies": value})
    monkeypatch.setenv("DRAGOMAN_EDGE__TRUSTED_PROXIES", value)
    with pytest.raises(WrongForm, match=r"edge.trusted_proxies should be a list"):
        load(None, {})


def test_a_host_to_listen_on_is_an_address_or_a_name() -> None:
    for host in ("", " ", "127.0.0.1:80", "http://h", "a b", "::g"):
        with pytest.raises(ValidationError, match="should be an address"):
            load(None, {"edge.host": host})


def test_secrets_are_not_shown() -> None:
    settings = load(None, {"nats.password": "hidden", "database.url": "postgresql://u:hidden@h/d"})[0]
    assert "hidden" not in repr(settings)
