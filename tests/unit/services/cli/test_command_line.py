"""No command ends with a traceback, whatever its arguments, settings and outputs are."""

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from dragoman.main import main
from local.options import OperatorError, read_settings, variable
from local.settings_table import leaves
from services.cli.admin import bus_client
from shared.bus import request_sender
from shared.database import make_engine
from shared.errors import StartupError
from shared.redis_server import redis_client
from shared.settings import Settings
from tests.support.commands import subcommands
from tests.support.servers import NatsServer, ValkeyServer
from tests.unit.services.cli.installed import write_installation

HOSTILE = (
    "", " ", "[", "[1]", "{}", "\udcff", "-1", "0", "9" * 30, "1e999", "nan", "2026-13-45", "*", "%", "%s{x}", "/",
    "a\nb", "é" * 3000, "http://h:x", "http://[", "ws://127.0.0.1:1", "ws://[::1", "nats://a@b:99999", "/dev/null",
    "/no/such/file",
)  # fmt: skip
SERVING = ("up", "auth", "session", "message", "search", "edge", "bench", "conformance", "dashboard")
"""Commands that run until they are stopped, or for a long time."""
ROUNDS = 3


Words = tuple[str, ...]


def commands(command: click.Command = main, path: Words = ()) -> Iterator[tuple[Words, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name, part in subcommands(command).items():
        yield from commands(part, (*path, name))


COMMANDS = [(path, command) for path, command in commands() if path[0] not in SERVING]


def hostile_arguments(command: click.Command, chance: random.Random) -> Iterator[str]:
    for parameter in command.params:
        known = list(parameter.type.choices) if isinstance(parameter.type, click.Choice) else []
        values = [str(one) for one in known] if known and chance.random() < 0.8 else list(HOSTILE)
        if not isinstance(parameter, click.Option):
            count = parameter.nargs if parameter.nargs > 0 else chance.randint(0, 2)
            yield from (chance.choice(values) for _ in range(count))
        elif parameter.name == "once" or (parameter.is_flag and chance.random() < 0.3):
            yield parameter.opts[0]
        elif not parameter.is_flag and parameter.name not in ("file", "assignments", "data"):
            if parameter.required or chance.random() < 0.5:
                yield from (parameter.opts[0], chance.choice(values))


def ends_with_a_sentence(result: Result) -> bool:
    """Returns whether a command has ended with an error message, or without an error."""
    return isinstance(result.exception, SystemExit | None) and "Traceback" not in result.output


@pytest.fixture
def installation(nats_server: NatsServer, valkey_server: ValkeyServer, tmp_path: Path) -> Path:
    """An installation without services, so that the requests of commands get no reply."""
    write_installation(nats_server, tmp_path, valkey_server)
    return tmp_path


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=["-".join(path) for path, _ in COMMANDS])
def test_hostile_arguments(
    installation: Path, path: Words, command: click.Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(installation)
    monkeypatch.setattr(bus_client, "_REQUEST_SECONDS", 0.2)
    monkeypatch.setattr(request_sender, "_QUIET_SECONDS", 0.1)
    chance = random.Random("-".join(path))
    takes_data = any(parameter.name == "data" for parameter in command.params)
    for _ in range(ROUNDS):
        arguments = [*path, *(("--data", str(installation)) if takes_data else ()), *hostile_arguments(command, chance)]
        result = CliRunner().invoke(main, arguments, input="x\n")
        assert ends_with_a_sentence(result), (arguments, result.exc_info)


def test_an_empty_path_does_not_name_the_working_directory() -> None:
    for path, command in commands():
        for parameter in command.params:
            if isinstance(parameter.type, click.Path):
                option = parameter.opts[:1] if isinstance(parameter, click.Option) else []
                result = CliRunner().invoke(main, [*path, *option, ""])
                assert (result.exit_code, "The path is empty" in result.output) == (2, True), (path, result.output)


SETTINGS = [name for name, _, _ in leaves(Settings())]
WAYS = ("flag", "environment", "file")
USES: dict[str, Callable[[Settings], object]] = {
    "database.url": lambda settings: make_engine(settings.database_url("auth")).dispose(),
    "redis.url": lambda settings: redis_client(settings.redis),
}
"""For some settings, the function that uses the value first in a process, before it connects."""


def given(name: str, value: str, way: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    if way == "flag":
        return read_settings(None, (f"{name}={value}",))[0]
    if way == "environment":
        with monkeypatch.context() as patched:
            patched.setenv(variable(name), value)
            return read_settings(None, ())[0]
    section, _, leaf = name.rpartition(".")
    file = directory / "settings.toml"
    line = f"{leaf} = {json.dumps(value)}"
    file.write_text(f"[{section}]\n{line}" if section else line, errors="surrogateescape")
    return read_settings(file, ())[0]


def rejection(name: str, value: str, way: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Returns the error for this value of a setting, or an empty text if the value works."""
    try:
        settings = given(name, value, way, directory, monkeypatch)
        if name in USES:
            USES[name](settings)
    except OperatorError as error:
        return error.message
    except StartupError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("way", WAYS)
def test_a_value_of_a_setting_works_or_is_rejected_by_its_name(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(way)
    for name in SETTINGS:
        for value in chance.sample(HOSTILE, 8):
            reason = rejection(name, value, way, tmp_path, monkeypatch)
            assert not reason or name in reason or "settings.toml" in reason, (name, value, reason)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://u:p@h/name?no_such=option", "database.url"),
        ("postgresql://u:p@h:port/name", "database.url"),
        ("redis://h/0?no_such=option", "redis.url"),
        ("redis://u:p#w@h/0", "redis.url"),
        ("redis://h/zero", "redis.url"),
        ("nats://u:p@a,nats://u:q@b", "nats.url"),
    ],
)
def test_urls_that_no_server_can_have(url: str, name: str) -> None:
    with pytest.raises((OperatorError, StartupError), match=name):
        USES.get(name, repr)(read_settings(None, (f"{name}={url}",))[0])


def run(redirection: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = f"{sys.executable} -m dragoman.main config {redirection}"
    variables = os.environ | environment
    return subprocess.run(["/bin/sh", "-c", command], env=variables, capture_output=True, text=True, errors="replace")


def test_an_output_that_takes_nothing() -> None:
    for redirection, status, error in (
        (">/dev/full", 1, "Error: the output cannot be written: No space left on device. Make room on the disk\n"),
        (">&-", 0, ""),
        (">&- 2>&- <&-", 0, ""),
    ):
        done = run(redirection)
        assert (done.returncode, done.stderr) == (status, error)


def test_a_locale_that_lacks_characters() -> None:
    done = run("--set 'announcements.name=通知 ✓'", PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^announcements\.name +\?\? \? +flag ", done.stdout, re.MULTILINE)
