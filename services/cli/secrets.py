"""Generates an installation's secrets once: the settings of each process, the users and rights of each server.

DIR/issued.json                  all passwords, for the next run
DIR/nats/users.conf              to `include` in nats-server's configuration
DIR/nats/cluster.crt cluster.key of the routes between the servers of a NATS cluster
DIR/valkey/users.acl             Valkey's `aclfile`
DIR/postgres/password            of the database's superuser
DIR/postgres/roles.sql           to run once in the new database
DIR/s3/access_key secret_key     of the installation's own S3 server, if it has one
DIR/exporters/valkey.json postgres   credentials of the metrics exporters
DIR/<process>/dragoman.toml      for `--config`: auth, session, message, edge, migrate, admin
DIR/keys/*.pem                   signing keys, the same for all replicas of auth (`auth.keys`)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from services.auth.adapters.signing_keys import ensure_keys
from services.cli.certificates import ensure_certificate
from services.cli.embedded import nats, valkey
from services.cli.embedded.credentials import Credentials, complete, generate, write_private

_STORES = ("auth", "session", "message")
_MIGRATE = "migrate"
_EXPORTER = "exporter"
_SUPERUSER = "postgres"
_NATS_USERS = {"auth": "auth", "session": "session", "message": "message", "edge": "edge", "admin": "admin",
               _MIGRATE: nats.SETUP}  # fmt: skip
"""The NATS user of each process."""
_SERVERS = ("nats", "valkey", "postgres")
_NATS_PEERS = ("*.nats-peers", "nats", "localhost")
"""DNS names of the servers of a NATS cluster."""
_S3 = "s3"
_S3_USER = "dragoman"
_EXPORTERS = "exporters"
_KEYS = "keys"
PLACES = (*_SERVERS, _S3, _EXPORTERS, *_NATS_USERS, _KEYS)


@dataclass(frozen=True)
class Addresses:
    """`nats`: one URL or several joined by commas; `valkey`, `postgres`: host:port; `database`: its name."""

    nats: str
    valkey: str
    postgres: str
    database: str


class Issued(Credentials, frozen=True):
    postgres: dict[str, str]
    s3: dict[str, str] = msgspec.field(default_factory=dict)


def issue(directory: Path, addresses: Addresses) -> None:
    """Write all files; issued passwords stay. Only the owner may read `directory`. Raises OSError, ValueError."""
    issued = _load_or_make(directory / "issued.json")
    for place, files in _files(issued, addresses).items():
        (directory / place).mkdir(mode=0o700, exist_ok=True)
        for name, content in files.items():
            write_private(directory / place / name, content)
    ensure_certificate(directory / "nats", _NATS_PEERS)
    ensure_keys(directory / _KEYS)
    for place in _SERVERS:  # servers run as users of their own, and mount only their directory
        (directory / place).chmod(0o755)
        for file in (directory / place).iterdir():
            file.chmod(0o644)


def _load_or_make(file: Path) -> Issued:
    known = msgspec.json.decode(file.read_bytes(), type=Issued) if file.exists() else Issued({}, {}, {})
    servers, postgres = generate(known), complete((_SUPERUSER, _MIGRATE, _EXPORTER, *_STORES), known.postgres)
    issued = Issued(servers.nats, servers.valkey, postgres, complete((_S3_USER,), known.s3))
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(file, msgspec.json.format(msgspec.json.encode(issued)))
    return issued


def _files(issued: Issued, addresses: Addresses) -> dict[str, dict[str, bytes]]:
    servers = {
        "nats": {"users.conf": nats.access(issued.nats)},
        "valkey": {"users.acl": valkey.access(issued.valkey)},
        "postgres": {"password": issued.postgres[_SUPERUSER].encode(), "roles.sql": _roles(issued.postgres)},
        _EXPORTERS: _exporters(issued, addresses),
        _S3: {"access_key": _S3_USER.encode(), "secret_key": issued.s3[_S3_USER].encode()},
    }
    return servers | {
        process: {"dragoman.toml": _toml(_settings(process, issued, addresses))} for process in _NATS_USERS
    }


def _settings(process: str, issued: Issued, addresses: Addresses) -> dict[str, dict[str, str]]:
    """Settings by section. A process gets only the passwords of its own users."""
    user = _NATS_USERS[process]
    settings = {"nats": {"url": addresses.nats, "user": user, "password": issued.nats[user]}}
    if process in valkey.GRANTS:
        password = issued.valkey[process]
        settings["redis"] = {"url": f"redis://{process}:{password}@{addresses.valkey}/0"}
    if process in issued.postgres:
        password = issued.postgres[process]
        url = f"postgresql://{process}:{password}@{addresses.postgres}/{addresses.database}"
        settings["database"] = {"url": url}
    return settings


def _exporters(issued: Issued, addresses: Addresses) -> dict[str, bytes]:
    """Files in each exporter's format. Valkey's exporter finds its password by address, older versions by the address
    without the user."""
    found_by = (f"redis://{_EXPORTER}@{addresses.valkey}", f"redis://{addresses.valkey}")
    return {
        "valkey.json": msgspec.json.encode(dict.fromkeys(found_by, issued.valkey[_EXPORTER])),
        "postgres": issued.postgres[_EXPORTER].encode(),
    }


def _toml(settings: Mapping[str, Mapping[str, str]]) -> bytes:
    """A JSON string is a TOML string."""
    lines: list[str] = []
    for section, values in settings.items():
        lines += [
            f"[{section}]",
            *(f"{name} = {msgspec.json.encode(value).decode()}" for name, value in values.items()),
        ]
    return "".join(f"{line}\n" for line in lines).encode()


def _roles(passwords: Mapping[str, str]) -> bytes:
    """One schema for each service: `migrate` creates its tables, the service may only read and write them."""
    lines = [
        "REVOKE ALL ON SCHEMA public FROM PUBLIC;",
        _role(_EXPORTER, passwords[_EXPORTER]),
        f"GRANT pg_monitor TO {_EXPORTER};",
        _role(_MIGRATE, passwords[_MIGRATE]),
    ]
    for name in _STORES:
        lines += [
            _role(name, passwords[name]),
            f"CREATE SCHEMA {name} AUTHORIZATION {_MIGRATE};",
            f"GRANT USAGE ON SCHEMA {name} TO {name};",
            *(
                f"ALTER DEFAULT PRIVILEGES FOR ROLE {_MIGRATE} IN SCHEMA {name} GRANT {rights} TO {name};"
                for rights in ("SELECT, INSERT, UPDATE, DELETE ON TABLES", "USAGE, SELECT ON SEQUENCES")
            ),
        ]
    return "".join(f"{line}\n" for line in lines).encode()


def _role(name: str, password: str) -> str:
    return f"CREATE ROLE {name} LOGIN PASSWORD '{password}';"
