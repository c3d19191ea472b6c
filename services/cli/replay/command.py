"""`dragoman replay`: plays a record of frames."""

import asyncio
import sys
from pathlib import Path

import click

from clients.errors import ClientError
from services.cli.record_file import Record, UnreadableRecord, read
from services.cli.replay.live import LiveReplay
from services.cli.replay.player import Player

_DIFFERENT = 1


@click.command()
@click.argument("path", metavar="RECORD", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--edge", metavar="URL", help="Also play it against this test system: ws://HOST:PORT or wss://HOST.")
@click.option(
    "--replace", "replaced", multiple=True, metavar="OLD=NEW", help="Send NEW where the record has OLD; repeatable."
)
@click.option("--wait", default=2.0, show_default=True, type=click.FloatRange(0.1, 60), help="Seconds for a reply.")
def replay(path: Path, edge: str | None, replaced: tuple[str, ...], wait: float) -> None:
    """Play a record of `dragoman admin record` through this server's protocols.

    Prints each frame (< of the client, > of the server), its meaning, and the reply where none of the services is
    needed. With --edge the client's frames are sent to a test system, and the differences of its frames are printed.
    The exit status is 1 when anything differs.
    """
    replacements = dict(_pair(one) for one in replaced)
    try:
        record = read(path)
        player = Player()
        for line in player.play(record):
            click.echo(line)
        different = player.differences > 0
        if edge is not None:
            different = _play_live(record, edge, replacements, wait) or different
    except UnreadableRecord as error:
        raise click.ClickException(str(error)) from error
    if different:
        sys.exit(_DIFFERENT)


def _pair(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not old or not equals:
        raise click.UsageError(f"--replace {text}: OLD=NEW is expected")
    return old, new


def _play_live(record: Record, edge: str, replacements: dict[str, str], wait: float) -> bool:
    """Whether anything differs."""
    live = LiveReplay(edge, replacements, wait)
    try:
        asyncio.run(live.play(record))
    except ClientError as error:
        raise click.ClickException(str(error)) from error
    lines = list(live.differences())
    for line in lines:
        click.echo(line)
    if not lines:
        click.echo(f"{edge} replies as in the record")
    return bool(lines)
