"""Tests the command line: its help, settings and errors."""

import errno
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from dragoman.main import main
from local.settings_table import leaves, without_password
from services.cli.console import confirm
from shared.settings import Settings
from tests.support.commands import subcommands


def dragoman(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_dragoman_is_an_installed_command() -> None:
    command = Path(sys.executable).with_name("dragoman")
    output = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert output.stdout == f"dragoman, version {version('dragoman')}\n"


def every_command(command: click.Command = main, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, part in subcommands(command).items():
            yield from every_command(part, *path, name)


def test_every_command_has_help_with_whole_summaries() -> None:
    for path, command in every_command():
        result = dragoman(*path, "--help")
        assert result.exit_code == 0
        assert result.output.startswith(" ".join(("Usage: main", *path)))
        if isinstance(command, click.Group):
            assert "..." not in result.output.partition("Options:")[2], path
            assert all(f"  {name} " in result.output for name in subcommands(command))


SHOWING = {
    "admin audit", "admin bot list", "admin chat members", "admin chat show", "admin dead-letters list",
    "admin dead-letters show", "admin webhook list", "admin keys list", "admin media find", "admin message find",
    "admin record list", "admin report list", "admin user duplicates", "admin user find", "admin user made",
    "admin user sessions", "config", "doctor", "top",
}  # fmt: skip
"""Commands that only show something, and neither start nor change anything."""


def test_what_starts_or_changes_something_has_an_example_that_can_be_typed() -> None:
    for path, command in every_command():
        if isinstance(command, click.Group) or " ".join(path) in SHOWING:
            continue
        example = (command.epilog or "").removeprefix("Example: ")
        program, *words = shlex.split(example)
        assert (program, *words[: len(path)]) == ("dragoman", *path)
        command.make_context("dragoman", words[len(path) :])


QUESTIONS = {
    "admin bot revoke", "admin dead-letters discard", "admin webhook delete", "admin keys retire", "admin media remove",
    "admin announce", "admin push remove",
    "admin report close", "admin user delete", "admin user disable", "admin user end-made",
    "admin user end-session", "admin user export", "admin user kick", "admin user reset-password",
}  # fmt: skip


def test_what_ends_or_discloses_something_needs_a_confirmation() -> None:
    found = {" ".join(path) for path, command in every_command() if any(one.name == "yes" for one in command.params)}
    assert found == QUESTIONS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_are_status_130(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        signal.raise_signal(number)

    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as for process 1 of a container
    monkeypatch.setattr("services.cli.config.rows", interrupted)
    assert dragoman("config").exit_code == 130
    monkeypatch.setattr("click.termui.visible_prompt_func", interrupted)
    with pytest.raises(KeyboardInterrupt):
        confirm("Sure?", yes=False)


def test_a_file_without_rights_has_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "run.json"))

    monkeypatch.setattr("local.installation.read_run", denied)
    result = dragoman("admin", "maintenance", "on", "--data", str(tmp_path))
    sentence = (
        f"Error: {tmp_path}/run.json: Permission denied. Run this as the owner of the file or directory, or give this "
        "user the permission\n"
    )
    assert (result.exit_code, result.output) == (1, sentence)


def test_a_wrong_data_directory_is_named(tmp_path: Path) -> None:
    """No other NATS is used in its place, although the setting for NATS has a default."""
    for data, sentence in (
        (tmp_path / "nowhere", f"there is no data directory {tmp_path}/nowhere. Start a system, or name another"),
        (tmp_path, f"{tmp_path} is no data directory of a `dragoman up`. Start a system, or name another"),
    ):
        for command in (["admin", "maintenance", "on"], ["admin", "dead-letters", "list"], ["top"], ["dashboard"]):
            result = dragoman(*command, "--data", str(data))
            assert (result.exit_code, sentence in result.output.replace("\n", " ")) == (2, True), result.output
    assert "✗ system" in dragoman("doctor", "--data", str(tmp_path)).output
    for command in (["migrate"], ["backup", str(tmp_path / "kept")], ["doctor"]):
        result = dragoman(*command, "--data", str(tmp_path / "nowhere"))
        assert (result.exit_code, "there is no data directory" in result.output) == (2, True), result.output
    assert list(tmp_path.iterdir()) == []


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


WRONG_SETTINGS = [
    (["--set", "edge.port=x"], "the setting edge.port (from a flag) is wrong: should be a valid integer"),
    (["--set", "log.level=x"], "It is: lowest level that is logged"),
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
]


def test_wrong_setting_is_one_sentence_and_status_2() -> None:
    others = ("auth", "session", "message", "edge", "up", "migrate", "doctor")
    cases = [("config", *case) for case in WRONG_SETTINGS] + [(command, *WRONG_SETTINGS[0]) for command in others]
    for command, arguments, sentence in cases:
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
    assert (result.exit_code, "Write {service} in its name" in result.output) == (2, True)


def test_smtp_needs_public_url(tmp_path: Path) -> None:
    for arguments in ("auth", "up --host 0.0.0.0", "up --port 0"):
        settings = ("--set", f"data={tmp_path}", "--set", "mail.smtp_host=mail.example")
        result = dragoman(*arguments.split(), *settings)
        assert (result.exit_code, len(result.output.splitlines())) == (2, 1)
        assert "mail.smtp_host is set, and edge.public_url is not. Set edge.public_url" in result.output


def test_up_rejects_ports_beyond_the_last(tmp_path: Path) -> None:
    for option in ("--port", "--tcp-port"):
        result = dragoman("up", option, "65535", "--edges", "2", "--data", str(tmp_path))
        assert (result.exit_code, "exceed the last port" in result.output) == (2, True)


def test_up_rejects_one_port_for_two_protocols(tmp_path: Path) -> None:
    result = dragoman("up", "--port", "8080", "--tcp-port", "8081", "--edges", "2", "--data", str(tmp_path))
    assert (result.exit_code, "port 8081 cannot be used for" in result.output) == (2, True)


def test_only_the_passwords_and_the_token_of_a_url_are_masked() -> None:
    for url, shown in (
        ("nats://u:p@h:4222", "nats://u:***@h:4222"),
        ("nats://token@h:4222,nats://token@i", "nats://***@h:4222,nats://***@i"),
        ("tls://u:p@h,tls://token@i", "tls://u:***@h,tls://***@i"),
        ("redis://:p@h/0", "redis://:***@h/0"),
        ("redis://h/0?db=1&password=p&timeout=3", "redis://h/0?db=1&password=***&timeout=3"),
        ("postgresql://u@h/d?password=p%20q", "postgresql://u@h/d?password=***"),
        ("postgresql://h/d?sslpassword=p&sslmode=require", "postgresql://h/d?sslpassword=***&sslmode=require"),
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("no url: at all", "no url: at all"),
    ):
        assert without_password(url) == shown
