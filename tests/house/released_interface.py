"""The interface that operators and other versions depend on: settings, metrics, subjects, grants, commands and frames.

`python -m tests.house.released_interface` writes it to `released_interface.json`, once for each release.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from prometheus_client import CollectorRegistry

from dragoman.main import main
from local.settings_table import leaves, show
from local.valkey import GRANTS
from services.auth.metrics import AuthMetrics
from services.edge.dialects.registry import DIALECTS
from services.edge.metrics import EdgeMetrics
from services.message.metrics import MessageMetrics
from services.session.metrics import SessionMetrics
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.permissions import BUS_USERS, publishes, subscribes
from shared.dashboard.sampler import EventLoopMetrics
from shared.ops import Readiness
from shared.presence.store import Presence
from shared.settings import Settings
from shared.settings.servers import NatsSettings, RedisSettings
from tests.support.commands import subcommands
from tests.vectors import path_of

RELEASED = Path(__file__).with_name("released_interface.json")
_SERVICE_METRICS = {"auth": AuthMetrics, "edge": EdgeMetrics, "message": MessageMetrics, "session": SessionMetrics}


def current() -> dict[str, dict[str, Any]]:
    """Returns the interface of this version: each list by its name, with its entries by their names."""
    return {
        "settings": {name: [type(value).__name__, show(value)] for name, value, _ in leaves(Settings())},
        "metrics": dict(_metrics()),
        "subjects": dict(_subjects()),
        "nats_publish": {f"{user} {subject}": True for user in BUS_USERS for subject in publishes(user)},
        "nats_subscribe": {f"{user} {subject}": True for user in BUS_USERS for subject in subscribes(user)},
        "redis_grants": {
            f"{user} {right}": True
            for user, grant in GRANTS.items()
            for right in [*grant.keys.split(), *grant.commands.split()]
        },
        "commands": dict(_commands(main, "dragoman")),
        "frames": {f"{path.stem} {frame}": True for path in _vector_files() for frame in _frames(path)},
    }


def _metrics() -> Iterator[tuple[str, Any]]:
    """Returns the type and the labels of each metric."""
    for service, metrics in _SERVICE_METRICS.items():
        registry = CollectorRegistry()
        metrics(registry)
        Bus(NatsSettings(), service, registry)
        EventLoopMetrics(registry)
        Readiness(registry, {})
        Presence(RedisSettings(), registry)
        for collector in registry._collector_to_names:
            for metric in collector.collect():
                yield metric.name, [metric.type, list(getattr(collector, "_labelnames", ()))]


def _subjects() -> Iterator[tuple[str, Any]]:
    for value in vars(subjects).values():
        if isinstance(value, subjects.Topic):
            yield value.subject, "Topic"
    for route in subjects.ROUTES:
        yield route.subject, "Route"
    for name in ("STREAM", "DEAD_LETTERS", "BROADCAST", "HEARTBEAT", "NOTIFY_ALL"):
        yield getattr(subjects, name), "name"


def _commands(command: click.Command, name: str) -> Iterator[tuple[str, Any]]:
    yield name, sorted(option for parameter in command.params for option in parameter.opts)
    if isinstance(command, click.Group):
        for child, inner in subcommands(command).items():
            yield from _commands(inner, f"{name} {child}")


def _vector_files() -> Iterator[Path]:
    """Returns the files with the vectors of the dialects in the registry.

    The sample dialect of the documentation is not part of the interface.
    """
    return (path_of(entry.name) for entry in DIALECTS)


def _frames(path: Path) -> Iterator[str]:
    """Returns a short hash of each frame of a file of vectors, for both directions."""
    for vector in json.loads(path.read_text())["vectors"]:
        actions = vector.get("actions", [])
        requests = [vector, *vector.get("requests", []), *(action.get("request", {}) for action in actions)]
        outs = [vector.get("out")] + [reply["out"] for request in requests for reply in request.get("replies", [])]
        outs += [frame for action in actions for frame in action.get("reply", [])]
        for frame in [vector.get("in"), *outs]:
            if frame is not None:
                yield hashlib.sha256(json.dumps(frame, sort_keys=True).encode()).hexdigest()[:12]


if __name__ == "__main__":
    RELEASED.write_text(json.dumps(current(), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
