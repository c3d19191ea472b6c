"""Reads the settings: flags override the environment, which overrides a TOML file.

Environment: `DRAGOMAN_EDGE__PORT=8080`; file: `[edge] port = 8080`; flag: `--set edge.port=8080`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_settings import EnvSettingsSource, TomlConfigSettingsSource

from shared.setting_types import TLS_FILES
from shared.settings import Settings


def load(file: Path | None, flags: Mapping[str, str]) -> tuple[Settings, dict[str, str]]:
    """Loads the settings, and the source of each one that is no default (a flag, the environment, the file's name).

    `flags` maps dotted names to values (lists as JSON). Raises pydantic.ValidationError; OSError or ValueError for a
    file that cannot be read.
    """
    layers: list[tuple[str, dict[str, Any]]] = []
    if file is not None:
        layers.append((str(file), _resolve_files(TomlConfigSettingsSource(Settings, file).toml_data, file.parent)))
    layers.append(("environment", EnvSettingsSource(Settings)()))
    layers.append(("flag", _nested(flags)))
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, layer in layers:
        _merge(merged, layer)
        sources.update(dict.fromkeys(_names(layer), source))
    return Settings(**merged), sources


def _resolve_files(sections: dict[str, Any], directory: Path) -> dict[str, Any]:
    """The sections with certificates' paths relative to `directory`, so that a settings file and its certificates can
    be mounted anywhere together."""
    for section in sections.values():
        for name in TLS_FILES:
            if isinstance(section, dict) and isinstance(path := section.get(name), str) and path:
                section[name] = str(directory / path)
    return sections


def _nested(flags: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in flags.items():
        *sections, leaf = name.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[leaf] = json.loads(value) if value.startswith("[") else value
    return tree


def _merge(into: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for name, value in layer.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value


def _names(layer: Mapping[str, Any], prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, value in layer.items():
        dotted = f"{prefix}{name}"
        names += _names(value, f"{dotted}.") if isinstance(value, dict) else [dotted]
    return names
