"""Makes every command's settings from the command's options. A wrong option gives an error message of one sentence and
exit status 2."""

import json
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar, get_origin

import click
from pydantic import BaseModel, ValidationError

from local.exit_status import ExitStatus
from shared.errors import StartupError
from shared.setting_types import TLS_FILES
from shared.settings import Settings
from shared.tls import check_files

# The following functions load the settings. Flags override the environment, which overrides a TOML file.
#
# The same setting is `DRAGOMAN_EDGE__PORT=8080` in the environment, `port = 8080` below `[edge]` in the file, and the
# flag `--set edge.port=8080`. In a flag and in the environment, a list is JSON, and every other value is used
# unchanged.

_PREFIX = "dragoman_"


class WrongForm(ValueError):
    """The value of a setting has a wrong form. `form`: the form that the setting must have."""

    def __init__(self, name: str, source: str, form: str) -> None:
        super().__init__(f"{name} should be {form}")
        self.name, self.source, self.form = name, source, form


class Source(NamedTuple):
    """`values`: the settings of one source, by section."""

    name: str
    values: dict[str, Any]


def load(file: Path | None, flags: Mapping[str, str]) -> tuple[Settings, dict[str, str]]:
    """Load the settings. Also return the source of each setting that is not a default: a flag, the environment, or the
    name of the file.

    `flags` maps dotted names to values. Raises pydantic.ValidationError and WrongForm, and OSError or ValueError for a
    file that cannot be read.
    """
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source in read_sources(file, flags):
        _merge(merged, source.values)
        sources.update((name, source.name) for name, _ in leaves(source.values))
    return Settings(**merged), sources


def read_sources(file: Path | None, flags: Mapping[str, str]) -> Iterator[Source]:
    """The sources of settings. A later source overrides an earlier one. Raises the errors of `load`."""
    if file is not None:
        with file.open("rb") as stream:
            sections = tomllib.load(stream)
        yield _checked(Source(str(file), _resolve_files(sections, file.parent)))
    yield _checked(Source("environment", _nested(_environment(), "environment")))
    yield _checked(Source("flag", _nested(flags, "flag")))


def _environment() -> dict[str, str]:
    """The settings in the environment, by their names. Other variables may begin in the same way, such as those of our
    scripts, and are left out."""
    found = {}
    for variable, value in os.environ.items():
        name = variable.lower().removeprefix(_PREFIX)
        if variable.lower().startswith(_PREFIX) and ("__" in name or name in Settings.model_fields):
            found[name.replace("__", ".")] = value
    return found


def _resolve_files(sections: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Make the paths of certificates relative to `directory`. So a settings file and its certificates can be mounted
    together, in any place."""
    for section in sections.values():
        for name in TLS_FILES:
            if isinstance(section, dict) and isinstance(path := section.get(name), str) and path:
                section[name] = str(directory / path)
    return sections


def _nested(values: Mapping[str, str], source: str) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *sections, leaf = name.split(".")
        branch = tree
        for depth, section in enumerate(sections, 1):
            branch = branch.setdefault(section, {})
            if not isinstance(branch, dict):
                raise WrongForm(".".join(sections[:depth]), source, "no value, but a section of settings")
        branch[leaf] = _decode(name, value, source)
    return tree


def _decode(name: str, text: str, source: str) -> Any:
    """Decode JSON if the setting is a list or a section. Other values are texts."""
    wanted = _type_of(name)
    if wanted is not list and not (wanted is dict and text.lstrip().startswith("{")):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, wanted):
        raise WrongForm(name, source, 'a list as ["one", "two"]' if wanted is list else "a JSON object")
    return value


def _type_of(name: str) -> type | None:
    """The type of a setting: `list`, or `dict` for a section. None for any other setting, and for an unknown one."""
    model: Any = Settings
    for part in name.split("."):
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or part not in model.model_fields:
            return None
        model = model.model_fields[part].annotation
    if get_origin(model) is list:
        return list
    return dict if isinstance(model, type) and issubclass(model, BaseModel) else None


def _checked(source: Source) -> Source:
    """Check that texts are Unicode, and that none contains NUL, because names of files and hosts cannot contain it.
    Raises WrongForm."""
    for name, value in leaves(source.values):
        for text in (name, *(value if isinstance(value, list) else (value,))):
            if isinstance(text, str) and not _is_text(text):
                raise WrongForm(name.encode(errors="replace").decode(), source.name, "text in UTF-8, without NUL")
    return source


def _is_text(value: str) -> bool:
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _merge(into: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for name, value in layer.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value


def leaves(layer: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each value, with its dotted name."""
    for name, value in layer.items():
        dotted = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from leaves(value, f"{dotted}.")
        else:
            yield dotted, value


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


class CommandFailed(click.ClickException):
    """A command has failed. `problem`: the failure and its reason. `remedy`: a sentence with the operator's next
    step."""

    exit_code = ExitStatus.FAILED

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}")
        self.problem = problem
        self.remedy = remedy


class OperatorError(CommandFailed):
    """An error that the operator must correct before the command can work. Nothing was started or changed."""

    exit_code = ExitStatus.WRONG_USE


class FilePath(click.Path):
    """A path on the command line. An empty one is rejected, because it may be an unset variable of a shell, and would
    name the working directory."""

    def __init__(self, *, file_okay: bool = True, dir_okay: bool = True) -> None:
        super().__init__(file_okay=file_okay, dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("The path is empty. Name a file or a directory.", param, ctx)
        return super().convert(value, param, ctx)


def settings_options(command: F) -> F:
    """Add --config and --set to a command."""
    command = click.option(
        "assignments", "--set", multiple=True, metavar="NAME=VALUE", help="A setting, as in edge.port=8080; repeatable."
    )(command)
    return click.option("file", "--config", type=FilePath(dir_okay=False), help="Settings from this TOML file.")(
        command
    )


def data_option(command: F) -> F:
    """Add --data to a command."""
    return click.option("--data", type=FilePath(), help="Data directory of the `dragoman up` to work on.")(command)


def flags_of(**named: object) -> dict[str, str]:
    """The settings that a command's own options set."""
    return {_SETTING_OF[option]: str(value) for option, value in named.items() if value is not None}


def read_settings(
    file: Path | None, assignments: tuple[str, ...], flags: Mapping[str, str] | None = None
) -> tuple[Settings, dict[str, str]]:
    """Return the settings, and the source of each setting that is not a default. `flags` come from the command's own
    options. Raises OperatorError."""
    values = dict(map(_split, assignments)) | dict(flags or {})
    if file is not None and not file.is_file():
        raise OperatorError(f"the settings file {file} does not exist", "Name another by --config")
    try:
        settings, sources = load(file, values)
        check_files(settings)
        return settings, sources
    except ValidationError as error:
        _reject(error, file, values)
    except WrongForm as error:
        _reject_value(error.name, _SOURCES.get(error.source, error.source), f"it should be {error.form}")
    except StartupError as error:
        raise OperatorError(error.problem, error.remedy) from error
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OperatorError(
            f"the settings file {file} cannot be read: {error}", "Correct it, or name another by --config"
        ) from error


def require_public_url(settings: Settings) -> None:
    """Check that `edge.public_url` is set if mail is sent by SMTP, because mails contain links. A link that is made
    from a request's Host header could lead the recipient to an attacker's host. Raises OperatorError."""
    if settings.mail.smtp_host and not settings.edge.public_url:
        raise OperatorError(
            "mail.smtp_host is set, and edge.public_url is not", "Set edge.public_url: links in mails lead there"
        )


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return "DRAGOMAN_" + name.upper().replace(".", "__")


def _split(assignment: str) -> tuple[str, str]:
    name, equals, value = assignment.partition("=")
    if not equals or not name.strip():
        raise OperatorError(f"--set takes NAME=VALUE, not {assignment!r}", "Write it as in edge.port=8080")
    return name.strip(), value


def _reject(error: ValidationError, file: Path | None, values: Mapping[str, str]) -> NoReturn:
    first = error.errors(include_url=False, include_input=False)[0]
    # a number is a position in a list, and is no part of the setting's name
    name = ".".join(part for part in first["loc"] if isinstance(part, str))
    source = _source(name, file, values)
    if first["type"] == "extra_forbidden":
        raise OperatorError(f"there is no setting {name} (from {source})", "`dragoman config` lists them all")
    _reject_value(name, source, first["msg"].removeprefix("Input ").removeprefix("Value error, "))


def _reject_value(name: str, source: str, wrong: str) -> NoReturn:
    raise OperatorError(f"the setting {name} (from {source}) is wrong: {wrong}", f"It is: {_meaning(name.split('.'))}")


def _source(name: str, file: Path | None, values: Mapping[str, str]) -> str:
    """Where the value of a setting comes from, or the value of a setting within a section."""
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
