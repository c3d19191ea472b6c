"""Reads every command's settings from its options; a wrong one is an error message of one sentence, exit status 2."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from pydantic import BaseModel, ValidationError

from shared.errors import StartupError
from shared.settings import Settings
from shared.settings_loader import WrongForm, leaves, load, read_sources
from shared.tls import check_files

F = TypeVar("F", bound=Callable[..., Any])

_SETTING_OF = {
    "port": "edge.port",
    "tcp_port": "edge.tcp_port",
    "host": "edge.host",
    "data": "data",
    "nats": "nats.url",
    "redis": "redis.url",
    "database": "database.url",
}


_SOURCES = {"flag": "a flag", "environment": "the environment"}


class OperatorError(click.ClickException):
    """An error that the operator must correct, reported before anything starts."""

    exit_code = 2


def settings_options(command: F) -> F:
    """Adds --config and --set."""
    command = click.option(
        "assignments", "--set", multiple=True, metavar="NAME=VALUE", help="A setting, as in edge.port=8080; repeatable."
    )(command)
    return click.option(
        "file", "--config", type=click.Path(path_type=Path, dir_okay=False), help="Settings from this TOML file."
    )(command)


def data_option(command: F) -> F:
    """Adds --data."""
    return click.option(
        "--data", type=click.Path(path_type=Path), help="Data directory of the `dragoman up` to work on."
    )(command)


def flags_of(**named: object) -> dict[str, str]:
    """The settings that a command's own options stand for."""
    return {_SETTING_OF[option]: str(value) for option, value in named.items() if value is not None}


def read_settings(
    file: Path | None, assignments: tuple[str, ...], flags: Mapping[str, str] | None = None
) -> tuple[Settings, dict[str, str]]:
    """The settings, and the source of each that is not a default. `flags` come from the command's own options. Raises
    OperatorError."""
    values = dict(map(_split, assignments)) | dict(flags or {})
    if file is not None and not file.is_file():
        raise OperatorError(f"the settings file {file} does not exist")
    try:
        settings, sources = load(file, values)
        check_files(settings)
        return settings, sources
    except ValidationError as error:
        _reject(error, file, values)
    except WrongForm as error:
        _reject_value(error.name, _SOURCES.get(error.source, error.source), f"it should be {error.form}")
    except StartupError as error:
        raise OperatorError(str(error)) from error
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OperatorError(f"the settings file {file} cannot be read: {error}") from error


def require_public_url(settings: Settings) -> None:
    """Mail by SMTP needs `edge.public_url` for its links: a link built from a request's Host header could lead the
    recipient to an attacker's host. Raises OperatorError."""
    if settings.mail.smtp_host and not settings.edge.public_url:
        raise OperatorError("edge.public_url must be set with mail.smtp_host: links in mails lead there")


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return "DRAGOMAN_" + name.upper().replace(".", "__")


def _split(assignment: str) -> tuple[str, str]:
    name, equals, value = assignment.partition("=")
    if not equals or not name.strip():
        raise OperatorError(f"--set takes NAME=VALUE, not {assignment!r}")
    return name.strip(), value


def _reject(error: ValidationError, file: Path | None, values: Mapping[str, str]) -> NoReturn:
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(part for part in first["loc"] if isinstance(part, str))  # the others are positions in a list
    source = _source(name, file, values)
    if first["type"] == "extra_forbidden":
        raise OperatorError(f"there is no setting {name} (from {source}); `dragoman config` lists them all")
    _reject_value(name, source, first["msg"].removeprefix("Input ").removeprefix("Value error, "))


def _reject_value(name: str, source: str, wrong: str) -> NoReturn:
    raise OperatorError(f"the setting {name} (from {source}) is wrong: {wrong} ({_meaning(name.split('.'))})")


def _source(name: str, file: Path | None, values: Mapping[str, str]) -> str:
    """Of a setting, or of one within a section."""
    found = "the defaults"
    for source in read_sources(file, values):
        if any(one == name or one.startswith(f"{name}.") for one, _ in leaves(source.values)):
            found = _SOURCES.get(source.name, source.name)
    return found


def _meaning(place: Sequence[str]) -> str:
    """The description of the setting at this place."""
    section, *leaf = place
    field = Settings.model_fields.get(section)
    if field is not None and leaf and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
        field = field.annotation.model_fields.get(leaf[0])
    return (field and field.description) or "a section of settings"
