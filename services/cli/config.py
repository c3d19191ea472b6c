"""`dragoman config` shows all settings."""

from pathlib import Path

import click

from local.options import read_settings, settings_options
from local.settings_table import rows


@click.command()
@settings_options
def config(file: Path | None, assignments: tuple[str, ...]) -> None:
    """Show every setting: value, source and meaning."""
    table = rows(*read_settings(file, assignments))
    names, values, sources = (max(len(row[column]) for row in table) for column in range(3))
    for row in table:
        click.echo(f"{row.name:<{names}}  {row.value:<{values}}  {row.source:<{sources}}  {row.description}".rstrip())
