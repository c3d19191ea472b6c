"""`dragoman secrets` makes the secrets of an installation once. It writes the settings of each process, and the users
and permissions of each server.

DIR/issued.json                  all passwords, for the next run
DIR/ca.crt ca.key                the authority of the servers' certificates; each process has a copy of ca.crt
DIR/<server>/server.crt server.key  the certificates of nats, valkey and postgres
DIR/nats/users.conf              users, to `include` in nats-server's configuration
DIR/nats/cluster.crt cluster.key the certificate of the routes between the servers of a NATS cluster
DIR/valkey/users.acl             Valkey's `aclfile`
DIR/postgres/password            the password of the database's superuser
DIR/postgres/roles.sql           SQL statements, to run once in the new database
DIR/s3/access_key secret_key     the keys of the installation's own S3 server, if it has one
DIR/exporters/valkey.json postgres   credentials of the metrics exporters
DIR/<process>/dragoman.toml      settings (`--config`): auth, session, message, search, edge, migrate, admin, dashboard
DIR/keys/*.pem                   signing keys, the same for all replicas of auth (`auth.keys`)
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click
import msgspec

from local import nats, valkey
from local.atomic_file import write_private
from local.credentials import Credentials, complete, generate
from local.options import FilePath, OperatorError
from services.auth.adapters.auth_callout import public_nkey
from services.auth.adapters.signing_keys import ensure_keys
from services.cli.certificates import CA, ensure_authority, ensure_route_certificate
from services.cli.console import default_option
from shared.contract.permissions import NODE_USER
from shared.vapid import make_key

_STORES = ("auth", "session", "message")
_MIGRATE = "migrate"
_EXPORTER = "exporter"
_SUPERUSER = "postgres"
_EDGE = "edge"
_NATS_USERS = {"auth": "auth", "session": "session", "message": "message", "search": "search", _EDGE: _EDGE,
               "admin": "admin", "dashboard": "dashboard", _MIGRATE: nats.SETUP}  # fmt: skip
"""The NATS user of each process. The process gets the password of this user."""
_SERVERS = ("nats", "valkey", "postgres")
_NATS_PEERS = ("*.nats-peers", "nats", "localhost")
"""The DNS names of the servers of a NATS cluster."""
_THIS_MACHINE = ("localhost", "127.0.0.1")
"""Further host names of each server. They are needed because an operator reaches a server by `kubectl port-forward`."""
_S3 = "s3"
_S3_USER = "dragoman"
_EXPORTERS = "exporters"
_KEYS = "keys"
PLACES = (*_SERVERS, _S3, _EXPORTERS, *_NATS_USERS, _KEYS)


@dataclass(frozen=True)
class Addresses:
    """The addresses of the servers. `nats`: URLs, separated by commas. `valkey`, `postgres`: host:port. `database`: the
    name of the database. `tls`: whether the servers are reached by TLS."""

    nats: str
    valkey: str
    postgres: str
    database: str
    tls: bool = True

    def hosts(self, server: str) -> tuple[str, ...]:
        """The host names that the server's certificate must have."""
        urls = self.nats.split(",") if server == "nats" else [f"//{getattr(self, server)}"]
        return (server, *_THIS_MACHINE, *(host for url in urls if (host := urlsplit(url).hostname)))


class Issued(Credentials, frozen=True):
    postgres: dict[str, str] = msgspec.field(default_factory=dict)
    s3: dict[str, str] = msgspec.field(default_factory=dict)
    callout_key: str = ""
    previous_push_key: str = ""


def issue(directory: Path, addresses: Addresses, *, new_push_key: bool = False) -> None:
    """Write all files. Passwords that were issued before stay the same. `new_push_key`: make a new key for new
    subscriptions; older subscriptions keep the present key. Only the owner may read `directory`. Raises OSError,
    ValueError."""
    issued = _load_or_make(directory / "issued.json", new_push_key=new_push_key)
    authority = ensure_authority(directory) if addresses.tls else None
    for place, files in _files(issued, addresses).items():
        if addresses.tls and place in (*_NATS_USERS, _EXPORTERS):
            files[CA] = (directory / CA).read_bytes()
        (directory / place).mkdir(mode=0o700, exist_ok=True)
        for name, content in files.items():
            write_private(directory / place / name, content)
    ensure_route_certificate(directory / "nats", _NATS_PEERS)
    if authority is not None:
        for server in _SERVERS:
            authority.ensure(directory / server, addresses.hosts(server))
    ensure_keys(directory / _KEYS)
    for place in _SERVERS:  # each server runs as its own user and mounts only its own directory
        (directory / place).chmod(0o755)
        for file in (directory / place).iterdir():
            file.chmod(0o644)


def _load_or_make(file: Path, *, new_push_key: bool) -> Issued:
    known = msgspec.json.decode(file.read_bytes(), type=Issued) if file.exists() else Issued({}, {})
    servers, postgres = generate(known), complete((_SUPERUSER, _MIGRATE, _EXPORTER, *_STORES), known.postgres)
    s3, key = complete((_S3_USER,), known.s3), known.callout_key or secrets.token_hex(32)
    push = (servers.push_key, known.previous_push_key)
    if new_push_key:
        push = (make_key(), servers.push_key)
    issued = Issued(servers.nats, servers.valkey, push[0], postgres, s3, key, push[1])
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(file, msgspec.json.format(msgspec.json.encode(issued)))
    return issued


def _files(issued: Issued, addresses: Addresses) -> dict[str, dict[str, bytes]]:
    users = nats.access(issued.nats, public_nkey(issued.callout_key))
    servers = {
        "nats": {"users.conf": users},
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
    if process == _EDGE:
        settings["nats"]["user"] = NODE_USER
    if process in valkey.GRANTS:
        password = issued.valkey[process]
        settings["redis"] = {"url": f"{_redis(addresses)}://{process}:{password}@{addresses.valkey}/0"}
    if process in issued.postgres:
        password = issued.postgres[process]
        url = f"postgresql://{process}:{password}@{addresses.postgres}/{addresses.database}"
        settings["database"] = {"url": url}
    if addresses.tls:
        for section in settings.values():
            section["tls_ca"] = CA  # the file is in the directory of the settings
    if process == "auth":
        digest = hashlib.sha256(issued.nats[_EDGE].encode()).hexdigest()
        settings["callout"] = {"key": issued.callout_key, "edge_password_sha256": digest}
    if process == "session":
        settings["push"] = {"key": issued.push_key, "previous_key": issued.previous_push_key}
    return settings


def _redis(addresses: Addresses) -> str:
    return "rediss" if addresses.tls else "redis"


def _exporters(issued: Issued, addresses: Addresses) -> dict[str, bytes]:
    """The passwords in each exporter's format. Valkey's exporter finds its password by the address of the server. Older
    versions of the exporter use the address without the user."""
    scheme = _redis(addresses)
    found_by = (f"{scheme}://{_EXPORTER}@{addresses.valkey}", f"{scheme}://{addresses.valkey}")
    return {
        "valkey.json": msgspec.json.encode(dict.fromkeys(found_by, issued.valkey[_EXPORTER])),
        "postgres": issued.postgres[_EXPORTER].encode(),
    }


def _toml(settings: Mapping[str, Mapping[str, str]]) -> bytes:
    """The settings as TOML. Texts are quoted as in JSON, because a JSON string is also a TOML string."""
    lines: list[str] = []
    for section, values in settings.items():
        lines += [
            f"[{section}]",
            *(f"{name} = {msgspec.json.encode(value).decode()}" for name, value in values.items()),
        ]
    return "".join(f"{line}\n" for line in lines).encode()


def _roles(passwords: Mapping[str, str]) -> bytes:
    """The SQL statements that make one schema for each service. The user `migrate` creates the tables. The service may
    only read and write them."""
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


@click.command("secrets", epilog="Example: dragoman secrets /etc/dragoman/secrets --postgres db.example:5432")
@click.argument("directory", type=FilePath(file_okay=False))
@default_option("--nats", "nats://nats:4222", "Addresses by which the processes reach NATS.")
@default_option("--valkey", "valkey:6379", "Address by which the processes reach Valkey, host:port.")
@default_option("--postgres", "postgres:5432", "Address by which the processes reach PostgreSQL, host:port.")
@default_option("--database", "dragoman", "Name of the PostgreSQL database.")
@default_option("--tls/--no-tls", True, "Whether the processes use TLS for NATS, Valkey and PostgreSQL.")
@click.option(
    "--new-push-key",
    is_flag=True,
    help="Make another VAPID key for new subscriptions to notifications. The present key stays valid for "
    "older subscriptions, and the key before it is deleted.",
)
def secrets_command(
    directory: Path, nats: str, valkey: str, postgres: str, database: str, tls: bool, new_push_key: bool
) -> None:
    """Make the passwords and certificates of an installation.

    The results are settings for each process, and users for each server, under DIRECTORY. Safe to repeat: issued
    passwords and certificates stay.
    """
    try:
        issue(directory, Addresses(nats, valkey, postgres, database, tls), new_push_key=new_push_key)
    except ValueError as error:
        raise OperatorError(
            f"the secrets in {directory} cannot be used: {error}",
            "Restore issued.json and ca.*, or name a new directory",
        ) from error
    except OSError as error:
        raise OperatorError(
            f"the directory {directory} cannot be written: {error.strerror}",
            "Let this user write there, or name another",
        ) from error
    click.echo(f"secrets: up to date in {directory}")
