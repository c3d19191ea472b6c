"""The command line: help, settings, errors."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dragoman.main import main
from local.settings_table import leaves, without_password
from shared.settings import Settings
from tests.support.commands import subcommands


def dragoman(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_dragoman_is_an_installed_command() -> None:
    command = Path(sys.executable).with_name("dragoman")
    output = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert output.stdout == f"dragoman, version {version('dragoman')}\n"


@pytest.mark.parametrize("command", sorted(subcommands(main)))
def test_every_command_has_help(command: str) -> None:
    result = dragoman(command, "--help")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: main {command}")
    assert command in dragoman("--help").output


def test_config_lists_every_setting_with_its_source_and_masks_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGOMAN_NATS__PASSWORD", "hidden")
    result = dragoman(
        "config", "--set", "database.url=postgresql://u:hidden@h/d", "--set", "nats.url=nats://a:hidden@b"
    )
    assert result.exit_code == 0
    assert "hidden" not in result.output
    rows = {line.split()[0]: line for line in result.output.splitlines()}
    assert list(rows) == [name for name, _, _ in leaves(Settings())]
    assert "***" in rows["nats.password"]
    assert "environment" in rows["nats.password"]
    assert "nats://a:***@b" in rows["nats.url"]
    assert "postgresql://u:***@h/d" in rows["database.url"]
    assert "default" in rows["edge.port"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--set", "edge.port=x"], "the setting edge.port (from a flag) is wrong: should be a valid integer"),
        (["--set", "log.level=x"], "(from debug to critical)"),
        (["--set", "nats.url=x"], "the setting nats.url (from a flag) is wrong: should be nats://host:port"),
        (
            ["--set", 'edge.trusted_proxies=["x"]'],
            "the setting edge.trusted_proxies (from a flag) is wrong: should be netw",
        ),
        (["--set", "database.url=mysql://ann:hidden@b"], "is wrong: should be sqlite:///path or postgresql://"),
        (["--set", "edge.prot=1"], "there is no setting edge.prot (from a flag)"),
        (["--set", "edge.port"], "--set takes NAME=VALUE, not 'edge.port'"),
        (["--set", "edge=1", "--set", "edge.port=1"], "the setting edge (from a flag) is wrong"),
        (["--config", "nowhere.toml"], "the settings file nowhere.toml does not exist"),
    ],
)
@pytest.mark.parametrize("command", ["config", "auth", "session", "message", "edge", "up", "migrate", "doctor"])
def test_wrong_setting_is_one_sentence_and_status_2(command: str, arguments: list[str], sentence: str) -> None:
    result = dragoman(command, *arguments)
    assert result.exit_code == 2
    assert sentence in result.output
    assert "hidden" not in result.output
    assert len(result.output.splitlines()) == 1


def test_wrong_setting_names_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGOMAN_LOG__LEVEL", "loud")
    assert "the setting log.level (from the environment) is wrong" in dragoman("config").output
    monkeypatch.delenv("DRAGOMAN_LOG__LEVEL")
    file = tmp_path / "wrong.toml"
    file.write_text("[log]\nlevel = 3\n")
    assert f"the setting log.level (from {file}) is wrong" in dragoman("config", "--config", str(file)).output
    file.write_text("[log\n")
    assert f"the settings file {file} cannot be read" in dragoman("config", "--config", str(file)).output


def test_up_rejects_one_sqlite_file_for_all_services() -> None:
    result = dragoman("up", "--database", "sqlite:///one.db")
    assert (result.exit_code, "must hold {service}" in result.output) == (2, True)


@pytest.mark.parametrize("arguments", [["auth"], ["up", "--host", "0.0.0.0"], ["up", "--port", "0"]])
def test_smtp_needs_public_url(tmp_path: Path, arguments: list[str]) -> None:
    result = dragoman(*arguments, "--set", f"data={tmp_path}", "--set", "mail.smtp_host=mail.example")
    assert (result.exit_code, len(result.output.splitlines())) == (2, 1)
    assert "edge.public_url must be set with mail.smtp_host" in result.output


@pytest.mark.parametrize("option", ["--port", "--tcp-port"])
def test_up_rejects_ports_beyond_the_last(tmp_path: Path, option: str) -> None:
    result = dragoman("up", option, "65535", "--edges", "2", "--data", str(tmp_path))
    assert (result.exit_code, "exceed the last port" in result.output) == (2, True)


def test_up_rejects_one_port_for_two_protocols(tmp_path: Path) -> None:
    result = dragoman("up", "--port", "8080", "--tcp-port", "8081", "--edges", "2", "--data", str(tmp_path))
    assert (result.exit_code, "port 8081 cannot be used for" in result.output) == (2, True)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("nats://u:p@h:4222", "nats://u:***@h:4222"),
        ("nats://token@h:4222,nats://token@i", "nats://***@h:4222,nats://***@i"),
        ("tls://u:p@h,tls://token@i", "tls://u:***@h,tls://***@i"),
        ("redis://:p@h/0", "redis://:***@h/0"),
        ("redis://h/0?db=1&password=p&timeout=3", "redis://h/0?db=1&password=***&timeout=3"),
        ("postgresql://u@h/d?password=p%20q", "postgresql://u@h/d?password=***"),
        ("postgresql://h/d?sslpassword=p&sslmode=require", "postgresql://h/d?sslpassword=***&sslmode=require"),
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("no url: at all", "no url: at all"),
    ],
)
def test_only_the_passwords_and_the_token_of_a_url_are_masked(url: str, shown: str) -> None:
    assert without_password(url) == shown
