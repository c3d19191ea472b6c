"""`dragoman admin keys`: manages the signing keys of tokens, which are files in the directory `auth.keys`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from local.installation import Installation
from local.options import CommandFailed
from services.auth.adapters import signing_keys
from services.auth.adapters.signing_keys import KeyFile
from services.cli.admin import format
from services.cli.admin.command import json_option, on_installation, record, yes_option
from services.cli.console import confirm

_PLACE = "Name the installation by --data or --config; run this as a user that may read auth.keys"


@click.group()
def keys() -> None:
    """Signing keys of tokens: list, rotate, retire.

    The commands work on the directory of keys (auth.keys), also while the system is stopped.
    """


@keys.command("list")
@on_installation
@json_option
def keys_list(installation: Installation, as_json: bool) -> None:
    """List the keys, oldest first; the last one signs."""
    found = _inventory(installation)
    format.show(found, _text, as_json=as_json)


@keys.command("rotate", epilog="Example: dragoman admin keys rotate")
@on_installation
def keys_rotate(installation: Installation) -> None:
    """Make a new key, which signs from now on.

    Tokens of the other keys stay valid.
    """
    with _reported_errors(installation):
        kid = signing_keys.rotate(installation.settings.auth.keys)
    record(installation, "rotate keys", kid)
    click.echo(f"the key {kid} signs tokens within a minute; tokens of older keys stay valid until you retire those")


@keys.command("retire", epilog="Example: dragoman admin keys retire 2026-01-31-5f3a")
@on_installation
@click.argument("kid", metavar="KEY")
@click.option("--now", is_flag=True, help="Delete the key although tokens that it signed may be in use.")
@yes_option
def keys_retire(installation: Installation, kid: str, now: bool, yes: bool) -> None:
    """Delete a key, which voids the tokens that it signed."""
    key = next((one for one in _inventory(installation) if one.kid == kid), None)
    if key is not None and key.needed_until is not None:
        if key.needed_until > time.time() and not now:
            until = format.moment(key.needed_until * 1000)
            raise CommandFailed(
                f"tokens signed by {kid} are valid until {until}", "Wait until then, or void these tokens by --now"
            )
        confirm(f"Delete the key {kid}, and void the tokens that it signed?", yes=yes)
    with _reported_errors(installation):
        signing_keys.delete(installation.settings.auth.keys, kid)
    record(installation, "retire key", kid)
    click.echo(f"the key {kid} is deleted; its tokens are void within a minute")


def _inventory(installation: Installation) -> list[KeyFile]:
    auth = installation.settings.auth
    with _reported_errors(installation):
        found = signing_keys.list_keys(auth.keys, max(auth.legacy_token_days, auth.bot_token_days))
    if not found:
        raise CommandFailed(f"there are no keys in {auth.keys}", _PLACE)
    return found


def _text(found: list[KeyFile]) -> str:
    return format.table(["KEY", "MADE", "USE"], [(key.kid, format.moment(key.made * 1000), _use(key)) for key in found])


def _use(key: KeyFile) -> str:
    return "signs" if key.needed_until is None else f"verifies, needed until {format.moment(key.needed_until * 1000)}"


@contextmanager
def _reported_errors(installation: Installation) -> Iterator[None]:
    """Turns errors of the key files into error messages for the operator. Raises click.ClickException."""
    try:
        yield
    except OSError as error:
        raise CommandFailed(f"the keys in {installation.settings.auth.keys}: {error.strerror}", _PLACE) from error
    except ValueError as error:
        raise CommandFailed(str(error), "`dragoman admin keys list` shows them") from error
