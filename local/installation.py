"""The installation on which a command works: by default, that of a `dragoman up` in the data directory."""

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
from local.options import read_settings
from local.up_plan import defaults
from shared.settings import NatsSettings, RedisSettings, Settings


class Server(Enum):
    """Who runs a server: the `dragoman up` in the data directory, which may not run now, or somebody else."""

    HERE = 1
    NOWHERE = 2
    ELSEWHERE = 3


@dataclass(frozen=True)
class Installation:
    """`sources`: the origin of each setting that is not a default."""

    settings: Settings
    sources: Mapping[str, str]

    def broker(self, user: str) -> NatsSettings:
        """The broker that the settings name, else that of the `dragoman up` in the data directory."""
        settings = self.settings
        run = read_run(settings.data) if "nats.url" not in self.sources else None
        if run is None:
            return settings.nats
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
        """The broker's settings for each user whose password is known here."""
        run = read_run(self.settings.data) if "nats.url" not in self.sources else None
        users = USERS if run is not None and run.embedded_nats else (self.settings.nats.user,)
        return [self.broker(user) for user in users]

    def valkeys(self) -> dict[str, RedisSettings]:
        """Valkey's settings by user, for each user whose password is known here."""
        settings = self.settings.redis
        run = read_run(self.settings.data) if "redis.url" not in self.sources else None
        if run is None or not run.valkey:
            return {urlsplit(settings.url.get_secret_value()).username or "": settings}
        passwords = load_or_make(self.settings.data / "credentials.json").valkey
        return {
            user: settings.model_copy(update={"url": SecretStr(valkey.url(run.valkey, user, password))})
            for user, password in passwords.items()
        }


def find(file: Path | None, assignments: tuple[str, ...], flags: Mapping[str, str]) -> Installation:
    """Raises OperatorError."""
    return Installation(*resolve(file, assignments, flags))


def resolve(
    file: Path | None, assignments: tuple[str, ...], flags: Mapping[str, str]
) -> tuple[Settings, dict[str, str]]:
    """The user's settings, completed by the defaults of `up`; and their sources. Raises OperatorError."""
    settings, sources = read_settings(file, assignments, flags)
    data = settings.data.expanduser().resolve()
    ours = {name: value for name, value in defaults(data, settings.edge).items() if name not in sources}
    settings, _ = read_settings(file, assignments, {**flags, **ours, "data": str(data)})
    return settings, sources
