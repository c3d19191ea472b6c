"""`dragoman admin keys`: manages the signing keys of tokens, which are files in the directory `auth.keys`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from local.installation import Installation
from services.auth.adapters import signing_keys
from services.auth.adapters.signing_keys import KeyFile
from services.cli.admin import format
from services.cli.admin.command import on_installation, record


@click.group()
def keys() -> None:
    """Signing keys of tokens: list, rotate, retire.

    Works on the directory of keys (auth.keys), also while the system is stopped.
    """


@keys.command("list")
@on_installation
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def keys_list(installation: Installation, as_json: bool) -> None:
    """List the keys that verify tokens, oldest first; the last one signs."""
    found = _inventory(installation)
    format.show(found, _text, as_json=as_json)


@keys.command("rotate")
@on_installation
def keys_rotate(installation: Installation) -> None:
    """Make a new key, which signs from now on; tokens of the other keys stay valid."""
    with _reported_errors(installation):
        kid = signing_keys.rotate(installation.settings.auth.keys)
    record(installation, "rotate keys", kid)
    click.echo(f"the key {kid} signs within a minute; the others keep verifying until they are retired")


@keys.command("retire")
@on_installation
@click.argument("kid", metavar="KEY")
@click.option("--now", is_flag=True, help="Even if tokens that it signed may still be in use.")
def keys_retire(installation: Installation, kid: str, now: bool) -> None:
    """Delete a key, which voids the tokens that it signed."""
    for key in _inventory(installation):
        if key.kid == kid and key.needed_until is not None and key.needed_until > time.time() and not now:
            until = format.moment(key.needed_until * 1000)
            raise click.ClickException(f"tokens that {kid} signed may be in use until {until}; --now voids them")
    with _reported_errors(installation):
        signing_keys.delete(installation.settings.auth.keys, kid)
    record(installation, "retire key", kid)
    click.echo(f"the key {kid} is deleted; its tokens are void within a minute")


def _inventory(installation: Installation) -> list[KeyFile]:
    auth = installation.settings.auth
    with _reported_errors(installation):
        found = signing_keys.list_keys(auth.keys, max(auth.legacy_token_days, auth.bot_token_days))
    if not found:
        raise click.ClickException(f"there are no keys in {auth.keys}")
    return found


def _text(found: list[KeyFile]) -> str:
    return format.table(["KEY", "MADE", "USE"], [(key.kid, format.moment(key.made * 1000), _use(key)) for key in found])


def _use(key: KeyFile) -> str:
    return "signs" if key.needed_until is None else f"verifies, needed until {format.moment(key.needed_until * 1000)}"


@contextmanager
def _reported_errors(installation: Installation) -> Iterator[None]:
    """Reports errors of the key files. Raises click.ClickException."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"the keys in {installation.settings.auth.keys}: {error.strerror}") from error
    except ValueError as error:
        raise click.ClickException(str(error)) from error
