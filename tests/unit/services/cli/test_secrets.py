"""Tests the files with an installation's secrets. Each process gets only its own secrets, and servers get all users."""

import hashlib
import json
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

from cryptography import x509

from local.options import load
from services.cli.secrets import PLACES, Addresses, issue
from shared.tls import check_files

ADDRESSES = Addresses("nats://nats:4222", "valkey:6379", "db:5432", "chat")


def test_each_process_gets_settings_that_load(tmp_path: Path) -> None:
    issue(tmp_path, ADDRESSES)
    for process in ("auth", "session", "message", "edge", "migrate", "admin", "dashboard"):
        settings, _ = load(tmp_path / process / "dragoman.toml", {})
        assert settings.nats.url == "nats://nats:4222"
        assert settings.nats.password.get_secret_value()
    message, _ = load(tmp_path / "message" / "dragoman.toml", {})
    assert "@db:5432/chat" in message.database_url("message")
    assert "@valkey:6379/0" in message.redis.url.get_secret_value()


def test_no_process_gets_the_password_of_another(tmp_path: Path) -> None:
    issue(tmp_path, ADDRESSES)
    passwords = {
        process: tomllib.loads((tmp_path / process / "dragoman.toml").read_text())["nats"]["password"]
        for process in ("auth", "session", "message", "edge", "migrate", "admin", "dashboard")
    }
    assert len(set(passwords.values())) == len(passwords)
    for process in passwords:
        text = (tmp_path / process / "dragoman.toml").read_text()
        assert [other for other, password in passwords.items() if password in text] == [process]


def test_edge_has_no_database(tmp_path: Path) -> None:
    issue(tmp_path, ADDRESSES)
    assert "database" not in tomllib.loads((tmp_path / "edge" / "dragoman.toml").read_text())


def test_issued_passwords_stay(tmp_path: Path) -> None:
    def contents() -> dict[Path, bytes]:
        return {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}

    issue(tmp_path, ADDRESSES)
    first = contents()
    issue(tmp_path, ADDRESSES)
    assert contents() == first
    assert {file.parent.name for file in first if file.parent != tmp_path} == set(PLACES)
    assert {file.name for file in first if file.parent == tmp_path} == {"issued.json", "ca.crt", "ca.key"}


def test_passwords_issued_before_the_bucket_stay(tmp_path: Path) -> None:
    issue(tmp_path, ADDRESSES)
    before = (tmp_path / "nats" / "users.conf").read_bytes()
    issued = json.loads((tmp_path / "issued.json").read_text())
    del issued["s3"]
    (tmp_path / "issued.json").write_text(json.dumps(issued))
    issue(tmp_path, ADDRESSES)
    assert (tmp_path / "nats" / "users.conf").read_bytes() == before


def test_bucket_key_is_in_its_own_directory_only(tmp_path: Path) -> None:
    issue(tmp_path, ADDRESSES)
    key = (tmp_path / "s3" / "secret_key").read_bytes()
    assert len(key) >= 40
    assert {file.parent.name for file in tmp_path.rglob("*/*") if file.is_file() and key in file.read_bytes()} == {"s3"}


def test_exporter_may_only_read_statistics(tmp_path: Path) -> None:
    issue(tmp_path, ADDRESSES)
    (user,) = re.findall(r"^user exporter .*", (tmp_path / "valkey" / "users.acl").read_text(), re.MULTILINE)
    assert "~" not in user
    assert user.split("-@all")[1].split() == ["+ping", "+client|setinfo", "+client|setname", "+info"]
    roles = (tmp_path / "postgres" / "roles.sql").read_text()
    assert "GRANT pg_monitor TO exporter;" in roles
    assert re.findall(r".*exporter.*", roles.replace("GRANT pg_monitor TO exporter;", "")) == [
        f"CREATE ROLE exporter LOGIN PASSWORD '{(tmp_path / 'exporters' / 'postgres').read_text()}';"
    ]
    passwords = json.loads((tmp_path / "exporters" / "valkey.json").read_text())
    assert set(passwords) == {"rediss://exporter@valkey:6379", "rediss://valkey:6379"}


def test_files_are_below_a_private_directory(tmp_path: Path) -> None:
    issue(tmp_path / "new", ADDRESSES)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    modes = {file.parent.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "new").rglob("*.*")}
    assert modes["new"] == 0o600
    assert {place for place, mode in modes.items() if mode != 0o600} == {"nats", "valkey", "postgres"}


def test_installations_share_no_passwords(tmp_path: Path) -> None:
    issue(tmp_path / "one", ADDRESSES)
    issue(tmp_path / "two", ADDRESSES)
    assert (tmp_path / "one/nats/users.conf").read_bytes() != (tmp_path / "two/nats/users.conf").read_bytes()


def test_unwritable_directory_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "dragoman.main", "secrets", str(tmp_path / "file" / "below")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "cannot be written" in result.stderr
    assert "Traceback" not in result.stderr


def nats_users(directory: Path) -> tuple[set[str], set[str]]:
    """Returns the users in the configuration of nats-server, without the users on which auth decides."""
    authorization = json.loads((directory / "nats" / "users.conf").read_text())["authorization"]
    return {user["user"] for user in authorization["users"]}, set(
        authorization.get("auth_callout", {}).get("auth_users", [])
    )


def edge_user(directory: Path) -> str:
    user: str = tomllib.loads((directory / "edge" / "dragoman.toml").read_text())["nats"]["user"]
    return user


def test_edges_are_nodes_of_nats(tmp_path: Path) -> None:
    issue(tmp_path, ADDRESSES)
    users, undecided = nats_users(tmp_path)
    assert users == undecided == {"auth", "session", "message", "search", "admin", "dashboard", "setup"}
    assert edge_user(tmp_path) == "node"
    auth, _ = load(tmp_path / "auth" / "dragoman.toml", {})
    password = json.loads((tmp_path / "issued.json").read_text())["nats"]["edge"]
    assert auth.callout.edge_password_sha256 == hashlib.sha256(password.encode()).hexdigest()
    key = auth.callout.key.get_secret_value()
    holders = {file.relative_to(tmp_path) for file in tmp_path.rglob("*.*") if key.encode() in file.read_bytes()}
    assert holders == {Path("auth/dragoman.toml"), Path("issued.json")}


def names_of(directory: Path) -> set[str]:
    certificate = x509.load_pem_x509_certificate((directory / "server.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


def test_every_client_trusts_the_servers_by_one_authority(tmp_path: Path) -> None:
    issue(tmp_path, Addresses("nats://nats:4222,nats://10.0.0.7", "valkey:6379", "db.example:5432", "chat"))
    authority = (tmp_path / "ca.crt").read_bytes()
    for process in ("auth", "session", "message", "edge", "migrate", "admin", "dashboard"):
        settings, _ = load(tmp_path / process / "dragoman.toml", {})
        assert Path(settings.nats.tls_ca).read_bytes() == authority
        check_files(settings)
    settings, _ = load(tmp_path / "auth" / "dragoman.toml", {})
    assert settings.redis.tls_ca == settings.database.tls_ca == str(tmp_path / "auth" / "ca.crt")
    assert settings.redis.url.get_secret_value().startswith("rediss://")
    assert "sslmode=verify-full" in settings.database_url("auth")
    assert (tmp_path / "exporters" / "ca.crt").read_bytes() == authority
    assert not list(tmp_path.glob("*/ca.key"))
    assert names_of(tmp_path / "nats") == {"nats", "10.0.0.7", "localhost", "127.0.0.1"}
    assert names_of(tmp_path / "postgres") == {"postgres", "db.example", "localhost", "127.0.0.1"}


def test_certificates_follow_the_addresses_and_given_ones_stay(tmp_path: Path) -> None:
    issue(tmp_path, ADDRESSES)
    before = [(tmp_path / server / "server.crt").read_bytes() for server in ("nats", "valkey")]
    issue(tmp_path, replace(ADDRESSES, valkey="cache.example:6379"))
    after = [(tmp_path / server / "server.crt").read_bytes() for server in ("nats", "valkey")]
    assert after[0] == before[0]
    assert "cache.example" in names_of(tmp_path / "valkey")
    issue(tmp_path / "other", ADDRESSES)
    for name in ("server.crt", "server.key"):
        shutil.copy(tmp_path / "other" / "valkey" / name, tmp_path / "valkey" / name)
    issue(tmp_path, replace(ADDRESSES, valkey="another.example:6379"))
    assert "another.example" not in names_of(tmp_path / "valkey")


def test_a_given_authority_makes_no_certificates(tmp_path: Path) -> None:
    issue(tmp_path / "other", ADDRESSES)
    shutil.copy(tmp_path / "other" / "ca.crt", tmp_path / "ca.crt")
    issue(tmp_path, ADDRESSES)
    assert not list(tmp_path.glob("[!o]*/server.*"))
    assert (tmp_path / "edge" / "ca.crt").read_bytes() == (tmp_path / "ca.crt").read_bytes()


def test_without_tls_all_is_as_before(tmp_path: Path) -> None:
    issue(tmp_path, replace(ADDRESSES, tls=False))
    settings, _ = load(tmp_path / "auth" / "dragoman.toml", {})
    assert settings.redis.url.get_secret_value().startswith("redis://")
    assert (settings.nats.tls_ca, settings.redis.tls_ca, settings.database.tls_ca) == ("", "", "")
    assert not list(tmp_path.rglob("ca.*"))
