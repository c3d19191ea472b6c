"""Sources of settings, and rejected values."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from shared.settings import DatabaseSettings, Settings, load


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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("edge.port", "http"),
        ("edge.port", "65536"),
        ("edge.prot", "8080"),
        ("edge", "8080"),
        ("log.level", "loud"),
        ("mail.smtp_security", "please"),
        ("limits.text_frame_bytes", "0"),
        ("nats.url", "127.0.0.1:4222"),
        ("nats.url", "nats://a:4222,"),
        ("redis.url", "127.0.0.1:6379"),
        ("database.url", "mysql://ann:secret@host/name"),
        ("database.url", "chat.db"),
        ("edge.public_url", "chat.example"),
        ("edge.public_url", "https://chat.example/path"),
        ("edge.trusted_proxies", '["everybody"]'),
        ("edge.ping_interval_seconds", "inf"),
        ("auth.hash_threads", "0"),
        ("message.batch_rows", "0"),
        ("message.reply_bytes", "1000000"),
        ("limits.failed_logins_per_account", "-1"),
        ("tracing.endpoint", "collector:4318"),
        ("tracing.endpoint", "https://ann:secret@collector:4318"),
        ("tracing.sample_ratio", "1.1"),
    ],
)
def test_unknown_settings_and_invalid_values_are_rejected(name: str, value: str) -> None:
    with pytest.raises(ValidationError) as caught:
        load(None, {name: value})
    place = caught.value.errors()[0]["loc"]
    assert ".".join(part for part in place if isinstance(part, str)) == name


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////data/{service}.db", "sqlite:////data/auth.db"),
        ("postgresql://u:p@h/db_{service}", "postgresql+psycopg://u:p@h/db_auth"),
        ("postgres://u:p@h/db", "postgresql+psycopg://u:p@h/db?options=-csearch_path%3Dauth"),
        (
            "postgresql+psycopg://h/db?sslmode=require",
            "postgresql+psycopg://h/db?sslmode=require&options=-csearch_path%3Dauth",
        ),
    ],
)
def test_every_service_has_a_database_of_its_own(url: str, expected: str) -> None:
    assert Settings(database=DatabaseSettings(url=SecretStr(url))).database_url("auth") == expected


def test_secrets_are_not_shown() -> None:
    settings = load(None, {"nats.password": "hidden", "database.url": "postgresql://u:hidden@h/d"})[0]
    assert "hidden" not in repr(settings)
