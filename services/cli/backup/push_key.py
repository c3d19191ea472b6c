"""Keeps the private keys of push notifications in backups. If the key is not restored, devices get no notifications
until their clients have subscribed again."""

from pathlib import Path

import msgspec

from local.credentials import Credentials, write_private
from local.options import OperatorError
from shared.settings import Settings

_FILE, _PREVIOUS = "push.key", "push.previous.key"
_CREDENTIALS = "credentials.json"
_OTHERWISE = "otherwise, devices are notified again only after their clients have started"


def keep(settings: Settings, directory: Path) -> None:
    """Copies the keys into a backup, if this machine has them. Raises OSError, OperatorError."""
    for name, key in ((_FILE, _known(settings)), (_PREVIOUS, settings.push.previous_key.get_secret_value())):
        if key:
            write_private(directory / name, key.encode())


def give_back(settings: Settings, directory: Path) -> str:
    """Restores the key of a backup for `dragoman up`. Returns a text about what the operator must do, or an empty text.
    Raises OSError, OperatorError."""
    file, known = directory / _FILE, _known(settings)
    if not file.exists():
        missing = f"the backup has no push.key: set the key of the backed-up system, {_OTHERWISE}"
        return missing if settings.push.enabled else ""
    key = file.read_text()
    if known not in ("", key):
        return f"push.key differs from {file}: set push.previous_key to the key in that file, {_OTHERWISE}"
    if not known:
        content = msgspec.json.encode(Credentials({}, {}, push_key=key))  # `up` completes it
        write_private(settings.data / _CREDENTIALS, msgspec.json.format(content))
    previous = directory / _PREVIOUS
    if previous.exists() and previous.read_text() != settings.push.previous_key.get_secret_value():
        return f"set push.previous_key to the key in {previous}, {_OTHERWISE}"
    return ""


def _known(settings: Settings) -> str:
    """The key in the settings, or the key that `dragoman up` has stored in the data directory."""
    if key := settings.push.key.get_secret_value():
        return key
    file = settings.data / _CREDENTIALS
    try:
        return msgspec.json.decode(file.read_bytes(), type=Credentials).push_key if file.exists() else ""
    except msgspec.MsgspecError as error:
        raise OperatorError(f"{file} is damaged: {error}", "Restore it, or remove it") from error
