"""The installation a command works on: a data directory of `dragoman up`, unless settings say otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from services.cli.data import read_run
from services.cli.embedded.credentials import load_or_make
from services.cli.options import read_settings
from services.cli.plan import defaults
from shared.settings import Nats, Settings


@dataclass(frozen=True)
class Installation:
    """`sources` says where each setting that is no default came from."""

    settings: Settings
    sources: Mapping[str, str]

    def broker(self, user: str) -> Nats:
        """The broker of the settings; when they name none, that of the `dragoman up` in the data directory."""
        settings = self.settings
        run = read_run(settings.data) if "nats.url" not in self.sources else None
        if run is None:
            return settings.nats
        broker = settings.nats.model_copy(update={"url": run.nats})
        if not run.embedded_nats:
            return broker
        password = load_or_make(settings.data / "credentials.json").nats[user]
        return broker.model_copy(update={"user": user, "password": SecretStr(password)})


def find(file: Path | None, assignments: tuple[str, ...], flags: Mapping[str, str]) -> Installation:
    """Raises Refusal."""
    return Installation(*resolve(file, assignments, flags))


def resolve(
    file: Path | None, assignments: tuple[str, ...], flags: Mapping[str, str]
) -> tuple[Settings, dict[str, str]]:
    """The user's settings, and what `up` itself sets where the user says nothing. Raises Refusal."""
    settings, sources = read_settings(file, assignments, flags)
    data = settings.data.expanduser().resolve()
    ours = {
        name: value
        for name, value in defaults(data, settings.edge.host, settings.edge.port).items()
        if name not in sources
    }
    settings, _ = read_settings(file, assignments, {**flags, **ours, "data": str(data)})
    return settings, sources
