"""Shows all settings as a table, for the operator and for the documentation."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, SecretStr

from shared.settings import Settings

_PAGE = Path(__file__).parents[1] / "docs" / "reference" / "settings.md"
_MARK = "<!-- settings: made by `python -m local.settings_table` -->"
_END = "<!-- end -->"
_SECRET = re.compile(
    r"(?P<password>://[^:/@\s]*:)[^/\s]*@"
    r"|(?P<token>\b(?:nats|tls|ws|wss)://)[^:/\s]+@"
    r"|(?P<parameter>[?&]\w*password=)[^&\s]*"
)


class SettingRow(NamedTuple):
    name: str
    value: str
    source: str
    description: str


def rows(settings: Settings, sources: dict[str, str]) -> list[SettingRow]:
    """One row per setting, in the order of declaration. Secrets are masked."""
    return [
        SettingRow(name, show(value), _source(name, sources), description)
        for name, value, description in leaves(settings)
    ]


def _source(name: str, sources: dict[str, str]) -> str:
    """Where a setting's value comes from. If the setting has several parts, one of their sources is returned."""
    parts = (source for part, source in sources.items() if part.startswith(f"{name}."))
    return sources.get(name) or next(parts, "default")


def show(value: object) -> str:
    """A value in the form of a flag, without passwords."""
    match value:
        case bool():
            return str(value).lower()
        case SecretStr():
            secret = value.get_secret_value()
            return without_password(secret) if "://" in secret else "***" if secret else ""
        case str():
            return without_password(value)
        case list():
            return "[" + ", ".join(f'"{without_password(str(one))}"' for one in value) + "]"
        case dict():
            return "{" + ", ".join(f"{name}: {_show_section(one)}" for name, one in value.items()) + "}"
        case Path() | int() | float():
            return str(value)
    raise TypeError(type(value))


def _show_section(section: BaseModel) -> str:
    return "{" + ", ".join(f"{name}: {show(value)}" for name, value, _ in leaves(section)) + "}"


def without_password(text: str) -> str:
    """Mask the passwords in a text, which may be one URL, several URLs, or any other text. In a URL of NATS, a user
    name without a password is a token, and is masked, too."""
    return _SECRET.sub(lambda found: f"{found[found.lastgroup or 0]}***{'@' * found[0].endswith('@')}", text)


def leaves(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """The name, the value and the description of every setting."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value, field.description or ""


def page(text: str) -> str:
    """Replace the table of settings on a page of the documentation by the current table."""
    before, marker, rest = text.partition(_MARK)
    table = "".join(
        f"| `{name}` | {_cell(value)} | {description} |\n" for name, value, _, description in rows(Settings(), {})
    )
    after = rest.partition(_END)[2]
    return f"{before}{marker}\n| setting | default | meaning |\n|---|---|---|\n{table}{_END}{after}"


def _cell(value: str) -> str:
    return f"`{value}`" if value else ""


if __name__ == "__main__":
    _PAGE.write_text(page(_PAGE.read_text()))
