"""Reads the settings: flags override the environment, which overrides a TOML file.

Environment: `DRAGOMAN_EDGE__PORT=8080`; file: `[edge] port = 8080`; flag: `--set edge.port=8080`. A list is JSON in a
flag and in the environment; every other value is taken as it is.
"""

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_origin

from pydantic import BaseModel

from shared.setting_types import TLS_FILES
from shared.settings import Settings

_PREFIX = "dragoman_"


class WrongForm(ValueError):
    """A value that cannot be what its setting demands. `form`: what that is."""

    def __init__(self, name: str, source: str, form: str) -> None:
        super().__init__(f"{name} should be {form}")
        self.name, self.source, self.form = name, source, form


class Source(NamedTuple):
    """`values`: by section."""

    name: str
    values: dict[str, Any]


def load(file: Path | None, flags: Mapping[str, str]) -> tuple[Settings, dict[str, str]]:
    """Loads the settings, and the source of each one that is no default (a flag, the environment, the file's name).

    `flags` maps dotted names to values. Raises pydantic.ValidationError, WrongForm; OSError or ValueError for a file
    that cannot be read.
    """
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source in read_sources(file, flags):
        _merge(merged, source.values)
        sources.update((name, source.name) for name, _ in leaves(source.values))
    return Settings(**merged), sources


def read_sources(file: Path | None, flags: Mapping[str, str]) -> Iterator[Source]:
    """Later ones override earlier ones. Raises as `load`."""
    if file is not None:
        with file.open("rb") as stream:
            sections = tomllib.load(stream)
        yield _checked(Source(str(file), _resolve_files(sections, file.parent)))
    yield _checked(Source("environment", _nested(_environment(), "environment")))
    yield _checked(Source("flag", _nested(flags, "flag")))


def _environment() -> dict[str, str]:
    """The settings in the environment by their names. Other variables may begin alike, as those of our scripts."""
    found = {}
    for variable, value in os.environ.items():
        name = variable.lower().removeprefix(_PREFIX)
        if variable.lower().startswith(_PREFIX) and ("__" in name or name in Settings.model_fields):
            found[name.replace("__", ".")] = value
    return found


def _resolve_files(sections: dict[str, Any], directory: Path) -> dict[str, Any]:
    """The sections with certificates' paths relative to `directory`, so that a settings file and its certificates can
    be mounted anywhere together."""
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
    """JSON where the setting is a list or a section, else the text."""
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
    """`list`, `dict` for a section, or None for another or an unknown setting."""
    model: Any = Settings
    for part in name.split("."):
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or part not in model.model_fields:
            return None
        model = model.model_fields[part].annotation
    if get_origin(model) is list:
        return list
    return dict if isinstance(model, type) and issubclass(model, BaseModel) else None


def _checked(source: Source) -> Source:
    """Names of files and hosts have no NUL, and texts are Unicode. Raises WrongForm."""
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
    """Each value by its dotted name."""
    for name, value in layer.items():
        dotted = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from leaves(value, f"{dotted}.")
        else:
            yield dotted, value
