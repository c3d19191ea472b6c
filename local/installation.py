"""Finds the installation that a command works on. By default, it is the installation that `dragoman up` runs in the
data directory."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from local import valkey
from local.credentials import load_or_make
from local.data import read_run
from local.nats import USERS
from local.options import OperatorError, flags_of, read_settings
from local.up_plan import defaults
from shared.settings import Settings
from shared.settings.servers import NatsSettings, RedisSettings


class Server(Enum):
    """Where a server runs. HERE means that the `dragoman up` in the data directory runs it. NOWHERE means that this
    `dragoman up` should run it, but is not running. ELSEWHERE means that the operator runs it."""

    HERE = 1
    NOWHERE = 2
    ELSEWHERE = 3


@dataclass(frozen=True)
class Installation:
    """`sources`: where each setting comes from that is not a default."""

    settings: Settings
    sources: Mapping[str, str]

    def broker(self, user: str) -> NatsSettings:
        """Return the NATS server that the settings name or, without such a setting, the server of the `dragoman up` in
        the data directory. Raises OperatorError."""
        settings = self.settings
        if "nats.url" in self.sources:
            return settings.nats
        run = read_run(settings.data)
        if run is None:
            raise not_running(settings.data, "another NATS by --config")
        broker = settings.nats.model_copy(update={"url": run.nats})
        if not run.embedded_nats:
            return broker
        password = load_or_make(settings.data / "credentials.json").nats[user]
        return broker.model_copy(update={"user": user, "password": SecretStr(password)})

    @property
    def nats_server(self) -> Server:
        return self._server("nats.url")

    @property
    def valkey_server(self) -> Server:
        return self._server("redis.url")

    def _server(self, setting: str) -> Server:
        if setting in self.sources:
            return Server.ELSEWHERE
        if (run := read_run(self.settings.data)) is None:
            return Server.NOWHERE
        return Server.HERE if (run.embedded_nats if setting == "nats.url" else run.valkey) else Server.ELSEWHERE

    def brokers(self) -> list[NatsSettings]:
        """The settings of NATS for each user whose password is known here."""
        match self.nats_server:
            case Server.NOWHERE:
                return []
            case Server.HERE:
                return [self.broker(user) for user in USERS]
            case Server.ELSEWHERE:
                return [self.broker(self.settings.nats.user)]

    def valkeys(self) -> dict[str, RedisSettings]:
        """The settings of Valkey for each user whose password is known here, by the user's name."""
        settings = self.settings.redis
        if self.valkey_server is Server.NOWHERE:
            return {}
        run = read_run(self.settings.data) if "redis.url" not in self.sources else None
        if run is None or not run.valkey:
            return {urlsplit(settings.url.get_secret_value()).username or "": settings}
        passwords = load_or_make(self.settings.data / "credentials.json").valkey
        return {
            user: settings.model_copy(update={"url": SecretStr(valkey.url(run.valkey, user, password))})
            for user, password in passwords.items()
        }


def not_running(data: Path, otherwise: str) -> OperatorError:
    """The error that a `dragoman up` is not running. `otherwise`: the option that can be given instead of a data
    directory."""
    if not data.is_dir():
        what = f"there is no data directory {data}"
    elif not (data / "credentials.json").is_file():
        what = f"{data} is no data directory of a `dragoman up`"
    else:
        what = f"no `dragoman up` runs with the data directory {data}"
    return OperatorError(what, f"Start a system, or name another data directory by --data, or {otherwise}")


def find(file: Path | None, assignments: tuple[str, ...], flags: Mapping[str, str]) -> Installation:
    """Find an installation. The settings are the user's, with the defaults of `up` for the others. Raises
    OperatorError."""
    settings, sources = read_settings(file, assignments, flags)
    data = settings.data.expanduser().resolve()
    ours = {name: value for name, value in defaults(data, settings.edge).items() if name not in sources}
    settings, _ = read_settings(file, assignments, {**flags, **ours, "data": str(data)})
    return Installation(settings, sources)


def find_existing(file: Path | None, assignments: tuple[str, ...], data: Path | None) -> Installation:
    """Find an installation that exists. If it does not exist, it is not created, because the name of the directory may
    be mistyped. Raises OperatorError."""
    if data is not None and not data.expanduser().is_dir():
        raise not_running(data, "another installation by --config")
    return find(file, assignments, flags_of(data=data))
