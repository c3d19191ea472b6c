"""The files of an installation's secrets: each process gets its own, servers get all users."""

import json
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

from services.cli.secrets import PLACES, Addresses, issue
from shared.settings import load

ADDRESSES = Addresses("nats://nats:4222", "valkey:6379", "db:5432", "chat")


def test_each_process_gets_settings_that_load(tmp_path: Path) -> None:
    issue(tmp_path, ADDRESSES)
    for process in ("auth", "session", "message", "edge", "migrate", "admin"):
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
        for process in ("auth", "session", "message", "edge", "migrate", "admin")
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
    assert set(passwords) == {"redis://exporter@valkey:6379", "redis://valkey:6379"}


def test_files_are_below_a_private_directory(tmp_path: Path) -> None:
    issue(tmp_path / "new", ADDRESSES)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    modes = {file.parent.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "new").rglob("*.*")}
    assert {place for place, mode in modes.items() if mode != 0o600} == {"nats", "valkey", "postgres"}


def test_installations_share_no_passwords(tmp_path: Path) -> None:
    issue(tmp_path / "one", ADDRESSES)
    issue(tmp_path / "two", ADDRESSES)
    assert (tmp_path / "one/nats/users.conf").read_bytes() != (tmp_path / "two/nats/users.conf").read_bytes()


def test_unwritable_directory_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "services.cli.main", "secrets", str(tmp_path / "file" / "below")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "cannot be written" in result.stderr
    assert "Traceback" not in result.stderr
