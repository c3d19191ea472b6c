"""Configures nats-server: durable JetStream on loopback, and one user per service that may use exactly the subjects of
this service."""

import json
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.contract.permissions import BUS_USERS, publishes, subscribes
from shared.contract.subjects import STREAM, STREAMS, health

SETUP = "setup"
"""The only user that may change streams and create consumers."""

USERS = (*BUS_USERS, SETUP)

_EDGE = "edge"
_CALLOUT_SECONDS = 3
"""The time for the decision of the auth service whether a node may connect. nats-server asks once for each attempt to
connect. If the auth service is unavailable, the attempt waits this long."""


NOISE = (b"[INF]", b"Plaintext passwords")
"""Parts of log lines without useful information. The warning about plain passwords is dropped, because only the owner
may read the configuration file."""


def configuration(port: int, store: Path, passwords: Mapping[str, str]) -> bytes:
    """Return the configuration file of the server (JSON is a subset of its syntax). `store`: the directory for the data
    of JetStream."""
    settings: dict[str, Any] = {
        "server_name": "dragoman",
        "host": "127.0.0.1",
        "port": port,
        # If a service is frozen, it must leave its queue groups before requests to it time out.
        "ping_interval": "2s",
        "ping_max": 2,
        "jetstream": {"store_dir": str(store), "sync_interval": "always", "max_file_store": 2**30},
        "authorization": _authorization({user: passwords[user] for user in USERS}),
    }
    return _encoded(settings)


def access(passwords: Mapping[str, str], issuer: str) -> bytes:
    """Return only users and permissions, as a file to `include` in the configuration of another server. Edges have no
    user in the file. They log in as nodes with subjects of their own, and the auth service decides about each.
    `issuer`: the public key with which the auth service signs its decisions."""
    authorization = _authorization({user: passwords[user] for user in USERS if user != _EDGE})
    users = [user["user"] for user in authorization["users"]]
    authorization |= {"timeout": _CALLOUT_SECONDS, "auth_callout": {"issuer": issuer, "auth_users": users}}
    return _encoded({"authorization": authorization})


def command(config: Path) -> list[str]:
    return [str(Path(sysconfig.get_path("scripts")) / "nats-server"), "--config", str(config)]


def environment(given: Mapping[str, str], cores: int) -> dict[str, str]:
    """Limit nats-server to a quarter of the cores. Otherwise its idle threads would search for work on cores that the
    other processes need."""
    return {"GOMAXPROCS": str(max(1, cores // 4)), **given}


def _authorization(passwords: Mapping[str, str]) -> dict[str, Any]:
    users = [
        {"user": user, "password": password, "permissions": _permissions(user)} for user, password in passwords.items()
    ]
    return {"timeout": 10, "users": users}


def _permissions(user: str) -> dict[str, Any]:
    publish, subscribe = _setup_grants() if user == SETUP else (publishes(user), subscribes(user))
    return {"publish": {"allow": publish}, "subscribe": {"allow": subscribe}}


def _setup_grants() -> tuple[list[str], list[str]]:
    publish = [f"$JS.API.STREAM.{verb}.{name}" for verb in ("CREATE", "UPDATE", "INFO") for name in STREAMS]
    publish += [f"$JS.API.CONSUMER.{verb}.{STREAM}.>" for verb in ("CREATE", "DURABLE.CREATE", "INFO")]
    publish.append(health(SETUP).subject)
    return publish, [f"inbox.{SETUP}.>"]


def _encoded(settings: Mapping[str, Any]) -> bytes:
    return json.dumps(settings, indent=2, ensure_ascii=False).encode()
