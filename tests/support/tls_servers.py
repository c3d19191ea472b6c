"""Servers that require TLS, with certificates of an authority that the test makes.

PostgreSQL and Valkey (or Redis) are those of the operating system, because those of the Python packages have no TLS.
nats-server has it.
"""

import json
import os
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from pydantic import SecretStr

from local.process_group import ProcessGroup
from services.cli.certificates import CLIENT, ensure_authority
from shared.settings import Settings
from shared.settings.servers import DatabaseSettings, NatsSettings, RedisSettings, with_tls
from tests.support.servers import NatsServer, PostgresServer, ValkeyServer

_POSTGRESQL = max(Path("/usr/lib/postgresql").glob("*/bin/postgres"), default=None)


def _program_with_tls(*names: str) -> str | None:
    """Returns the first of these programs that starts with TLS, or None."""
    for name in names:
        found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if found is None:
            continue
        tried = subprocess.run([found, "--tls-port", "1", "--port", "0"], capture_output=True, text=True, check=False)
        if "TLS" in tried.stdout and "Missing implement" not in tried.stdout and "Wrong number" not in tried.stdout:
            return found
    return None


VALKEY = _program_with_tls("valkey-server", "redis-server")
needs_valkey = pytest.mark.skipif(VALKEY is None, reason="there is no valkey-server or redis-server with TLS")
needs_postgresql = pytest.mark.skipif(_POSTGRESQL is None, reason="there is no PostgreSQL of the system")


def adapt_access(file: Path) -> None:
    """Removes a command that the Redis of Debian does not have from the access list."""
    if str(VALKEY).endswith("redis-server"):
        file.write_text(file.read_text().replace("+client|setinfo ", ""))


class Certificates:
    """The certificates of a server and of a client for this machine.

    Those in the folder `other` are from another authority.
    """

    def __init__(self, directory: Path, *hosts: str) -> None:
        self._directory = directory
        for folder in (directory, directory / "other"):
            folder.mkdir()
            authority = ensure_authority(folder)
            assert authority is not None
            authority.ensure(folder, hosts)
            authority.ensure(folder, hosts, CLIENT)
        for file in directory.rglob("*"):  # PostgreSQL runs as another user, which must be able to read the files
            file.chmod(0o755 if file.is_dir() else 0o600 if file.name == "client.key" else 0o644)

    def __getitem__(self, name: str) -> str:
        return str(self._directory / name)

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self["server.crt"], self["server.key"])
        return context

    @property
    def of_a_client(self) -> dict[str, str]:
        """Returns the settings of a client that trusts the authority and has a certificate from it."""
        return {"tls_ca": self["ca.crt"], "tls_certificate": self["client.crt"], "tls_key": self["client.key"]}


class TlsNatsServer(NatsServer):
    """A nats-server that requires TLS, and a certificate of each client."""

    def __init__(self, directory: Path, process_group: ProcessGroup, certificates: Certificates) -> None:
        super().__init__(directory, process_group)
        self._certificates = certificates
        settings = json.loads(self.config.read_bytes())
        files = {"cert_file": "server.crt", "key_file": "server.key", "ca_file": "ca.crt"}
        settings["tls"] = {name: certificates[file] for name, file in files.items()} | {"verify": True}
        self.config.write_text(json.dumps(settings))

    def settings(self, service: str) -> NatsSettings:
        return super().settings(service).model_copy(update=self._certificates.of_a_client)


class TlsValkeyServer(ValkeyServer):
    """A Valkey that has no port without TLS, and requires a certificate of each client."""

    def __init__(self, directory: Path, process_group: ProcessGroup, certificates: Certificates) -> None:
        super().__init__(directory, process_group)
        self._certificates = certificates
        assert VALKEY is not None
        config = self._command[1:]
        self._command = [VALKEY, *config]
        files = {"tls-cert-file": "server.crt", "tls-key-file": "server.key", "tls-ca-cert-file": "ca.crt"}
        lines = ["port 0", f"tls-port {self.port}", *(f"{name} {certificates[file]}" for name, file in files.items())]
        with Path(config[0]).open("a") as file:
            file.writelines(f"{line}\n" for line in lines)
        adapt_access(directory / "valkey.acl")

    def settings(self, service: str) -> RedisSettings:
        plain = super().settings(service)
        url = plain.url.get_secret_value().replace("redis://", "rediss://")
        return plain.model_copy(update={"url": SecretStr(url), **self._certificates.of_a_client})


class TlsPostgresServer(PostgresServer):
    """A PostgreSQL that requires TLS, and a certificate of each client."""

    def __init__(self, directory: Path, process_group: ProcessGroup, certificates: Certificates) -> None:
        self._certificates = certificates
        rules = Path(certificates["pg_hba.conf"])
        rules.write_text("hostssl all all all scram-sha-256 clientcert=verify-ca\n")
        key = shutil.copy(certificates["server.key"], certificates["postgresql.key"])
        Path(key).chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(key, "nobody")
        super().__init__(
            directory, process_group, ssl="on", ssl_cert_file=certificates["server.crt"], ssl_key_file=key,
            ssl_ca_file=certificates["ca.crt"], hba_file=str(rules),
        )  # fmt: skip

    def _find_binaries(self, directory: Path) -> Path:
        assert _POSTGRESQL is not None
        return _POSTGRESQL.parent

    def url(self, database: str, driver: str = "") -> str:
        return with_tls(super().url(database, driver), DatabaseSettings(**self._certificates.of_a_client))

    def settings(self) -> Settings:
        url = SecretStr(super().url("postgres"))
        return Settings(database=DatabaseSettings(url=url, **self._certificates.of_a_client))
