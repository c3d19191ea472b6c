"""`dragoman backup` and `dragoman restore`: the content of a backup, and errors."""

import errno
import fcntl
import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from dragoman.main import main
from local.atomic_file import write_private
from local.credentials import load_or_make
from local.data import Run, write_run
from local.options import load
from local.up_plan import SERVICES
from services.auth.adapters.signing_keys import ensure_keys
from services.cli.backup import command
from shared.database import open_engine
from shared.migrate import upgrade
from shared.schema import require_current
from shared.settings import Settings
from shared.vapid import make_key
from tests.support.servers import PostgresServer
from tests.support.waiting import WAIT_SECONDS

DIGEST, RECORD = "0" * 64, "1" * 32


def dragoman(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """A data directory with databases, keys and media."""
    data = tmp_path / "data"
    for room, name in (("blobs", DIGEST), ("records", RECORD), ("spool", "half")):
        (data / "media" / room).mkdir(parents=True)
        (data / "media" / room / name).write_text(f"of {room}")
    ensure_keys(data / "keys")
    for service in SERVICES:
        upgrade(service, f"sqlite:///{data}/{service}.db")
    with closing(sqlite3.connect(data / "auth.db")) as connection, connection:
        connection.execute("UPDATE state SET value = 42 WHERE name = 'revocations'")
    return data


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if not path.name.startswith(".")}


def test_restore_brings_back_databases_keys_and_media(installation: Path, tmp_path: Path) -> None:
    kept, fresh = tmp_path / "kept", tmp_path / "fresh"
    assert dragoman("backup", kept, "--data", installation).exit_code == 0
    assert sorted(path.name for path in kept.iterdir()) == [
        "auth.db", "backup.json", "keys", "media", "message.db", "session.db"
    ]  # fmt: skip
    restored = dragoman("restore", kept, "--data", fresh)
    assert restored.exit_code == 0, restored.output
    assert files(fresh / "keys") == files(installation / "keys")
    for room in ("blobs", "records"):
        assert files(fresh / "media" / room) == files(installation / "media" / room)
    with closing(sqlite3.connect(fresh / "auth.db")) as connection:
        assert connection.execute("SELECT value FROM state WHERE name = 'revocations'").fetchone() == (42,)
    for service in SERVICES:
        with open_database(f"sqlite:///{fresh}/{service}.db") as connection:
            require_current(service, connection)
    assert epoch(f"sqlite:///{fresh}/message.db") != epoch(f"sqlite:///{kept}/message.db")


def test_devices_are_notified_as_before_after_a_restore(installation: Path, tmp_path: Path) -> None:
    """Devices stay subscribed, because the backup contains the push key if this machine has the key."""
    key, other = make_key(), f"push.key={make_key()}"
    write_private(installation / "credentials.json", json.dumps({"nats": {}, "valkey": {}, "push_key": key}).encode())
    assert dragoman("backup", tmp_path / "kept", "--data", installation).exit_code == 0
    assert "push.key" not in dragoman("restore", tmp_path / "kept", "--data", tmp_path / "fresh").output
    assert load_or_make(tmp_path / "fresh" / "credentials.json").push_key == key
    another = dragoman("restore", tmp_path / "kept", "--data", tmp_path / "another", "--set", other)
    assert "set push.previous_key" in another.output
    older = f"push.previous_key={make_key()}"
    assert dragoman("backup", tmp_path / "both", "--data", installation, "--set", older).exit_code == 0
    lacking = dragoman("restore", tmp_path / "both", "--data", tmp_path / "lacking")
    assert f"set push.previous_key to the key in {tmp_path / 'both' / 'push.previous.key'}" in " ".join(
        lacking.output.split()
    )
    assert "push." not in dragoman("restore", tmp_path / "both", "--data", tmp_path / "has", "--set", older).output
    (installation / "credentials.json").unlink()
    assert dragoman("backup", tmp_path / "without", "--data", installation).exit_code == 0
    assert "has no push.key" in dragoman("restore", tmp_path / "without", "--data", tmp_path / "new").output


def epoch(url: str) -> str:
    """Returns the epoch.

    After a restore, a new epoch shows clients that this database does not continue the one that they have read.
    """
    with open_database(url) as connection:
        value: str = connection.execute(sa.text("SELECT value FROM epochs")).scalar_one()
    assert value
    return value


@contextmanager
def open_database(url: str) -> Iterator[sa.Connection]:
    with open_engine(url) as engine, engine.connect() as connection:
        yield connection


def test_backup_time_is_written_for_prometheus(installation: Path, tmp_path: Path) -> None:
    kept, metrics = tmp_path / "kept", tmp_path / "backup.prom"
    metrics.symlink_to(tmp_path / "elsewhere.prom")
    assert dragoman("backup", kept, "--data", installation, "--metrics", metrics).exit_code == 0
    made = json.loads((kept / "backup.json").read_text())["made"]
    (noted,) = re.findall(r"^dragoman_backup_time_seconds (\S+)$", metrics.read_text(), re.MULTILINE)
    assert float(noted) == made / 1000
    assert stat.S_IMODE(metrics.stat().st_mode) & 0o444 == 0o444
    assert metrics.is_symlink(), "a device, such as /dev/null, is not replaced either"


def test_failed_backup_writes_no_time(installation: Path, tmp_path: Path) -> None:
    metrics = tmp_path / "backup.prom"
    (installation / "auth.db").write_text("no database")
    assert dragoman("backup", tmp_path / "kept", "--data", installation, "--metrics", metrics).exit_code != 0
    assert not metrics.exists()


def test_error_for_an_unwritable_metrics_file(installation: Path, tmp_path: Path) -> None:
    result = dragoman("backup", tmp_path / "kept", "--data", installation, "--metrics", tmp_path / "no" / "backup.prom")
    assert result.exit_code == 1
    assert "No such file or directory" in result.output


def test_a_backup_that_sigterm_ends_leaves_nothing(installation: Path, tmp_path: Path) -> None:
    pipe, kept = installation / "keys" / "pipe.pem", tmp_path / "kept"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "dragoman.main", "backup", "--data", str(installation), str(kept)]
    with subprocess.Popen(command) as process:
        with pipe.open("wb"):  # waits until the backup reads the keys
            assert kept.is_dir()
            process.terminate()
        assert process.wait(WAIT_SECONDS) == 130
    assert not kept.exists()


def test_backup_is_readable_by_its_owner_only(installation: Path, tmp_path: Path) -> None:
    dragoman("backup", tmp_path / "kept", "--data", installation)
    dragoman("restore", tmp_path / "kept", "--data", tmp_path / "fresh")
    for top in (tmp_path / "kept", tmp_path / "fresh"):
        assert [path for path in (top, *top.rglob("*")) if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_backup_is_a_consistent_snapshot_during_writes(installation: Path, tmp_path: Path) -> None:
    """The writer changes two rows in each transaction."""
    stop = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(installation / "auth.db", timeout=30)) as connection:
            while not stop.is_set():
                with connection:
                    connection.execute("UPDATE state SET value = value + 1 WHERE name = 'maintenance'")
                    connection.execute("UPDATE state SET value = value + 1 WHERE name = 'revocations'")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            kept = tmp_path / f"kept{number}"
            assert dragoman("backup", kept, "--data", installation).exit_code == 0
            with closing(sqlite3.connect(kept / "auth.db")) as connection:
                both = dict(connection.execute("SELECT name, value FROM state"))
            assert both["revocations"] == both["maintenance"] + 42
    finally:
        stop.set()
        writer.join()


def test_existing_data_is_not_overwritten(installation: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    dragoman("backup", kept, "--data", installation)
    again = dragoman("backup", kept, "--data", installation)
    assert (again.exit_code, "is not empty" in again.output) == (2, True)
    for spared in ("message.db", "session.db", "auth.db", "keys", "media"):
        fresh = tmp_path / f"not {spared}"
        if spared == "keys":
            ensure_keys(fresh / "keys")
        elif spared == "media":
            (fresh / "media" / "blobs").mkdir(parents=True)
            (fresh / "media" / "blobs" / "x").touch()
        else:
            fresh.mkdir()
            (fresh / spared).write_text("mine")
        before = [path for path in fresh.rglob("*") if path.is_file() and path.name != "lock"]
        result = dragoman("restore", kept, "--data", fresh)
        assert (result.exit_code, "nothing is overwritten" in result.output) == (2, True), result.output
        assert [path for path in fresh.rglob("*") if path.is_file() and path.name != "lock"] == before


def test_restore_rejects_a_running_installation(installation: Path, tmp_path: Path) -> None:
    dragoman("backup", tmp_path / "kept", "--data", installation)
    running = tmp_path / "running"
    running.mkdir()
    write_run(running, Run(os.getpid(), "", True, []))
    with (running / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = dragoman("restore", tmp_path / "kept", "--data", running)
    assert (result.exit_code, "in use by another `dragoman up`" in result.output) == (2, True)


def test_restore_rejects_an_incomplete_backup(installation: Path, tmp_path: Path) -> None:
    dragoman("backup", tmp_path / "kept", "--data", installation)
    (tmp_path / "kept" / "backup.json").unlink()
    result = dragoman("restore", tmp_path / "kept", "--data", tmp_path / "fresh")
    assert (result.exit_code, "is not a complete backup" in result.output) == (2, True)
    assert not (tmp_path / "fresh").exists()


def test_error_for_a_damaged_database(installation: Path, tmp_path: Path) -> None:
    (installation / "session.db").write_bytes(b"no database, but some text that is long enough" * 100)
    result = dragoman("backup", tmp_path / "kept", "--data", installation)
    assert result.exit_code == 1
    assert f"Error: {installation / 'session.db'} cannot be copied: file is not a database. " in result.output
    assert not (tmp_path / "kept").exists(), "nothing is left of a backup that has failed"
    (tmp_path / "kept").mkdir()
    dragoman("backup", tmp_path / "kept", "--data", installation)
    assert list((tmp_path / "kept").iterdir()) == []


def test_error_for_a_missing_installation(tmp_path: Path) -> None:
    result = dragoman("backup", tmp_path / "kept", "--data", tmp_path / "nowhere")
    assert (result.exit_code, "there is no data directory" in result.output) == (2, True)


def tear(kept: Path, name: str) -> None:
    """Cuts a file off, as a full disk or an interrupted copy does."""
    file = kept / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


TEARS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "cut short": ("auth.db", lambda kept: tear(kept, "auth.db")),
    "of another service": ("session.db", lambda kept: shutil.copy(kept / "auth.db", kept / "session.db")),
    "missing": ("message.db", lambda kept: (kept / "message.db").unlink()),
    "a key that is cut short": (".pem", lambda kept: tear(kept, f"keys/{next((kept / 'keys').glob('*.pem')).name}")),
    "no keys": ("keys", lambda kept: shutil.rmtree(kept / "keys")),
    "no media": ("media/", lambda kept: shutil.rmtree(kept / "media")),
}


@pytest.mark.parametrize("case", TEARS)
def test_a_torn_backup_is_rejected_before_anything_is_written(installation: Path, tmp_path: Path, case: str) -> None:
    kept, fresh = tmp_path / "kept", tmp_path / "fresh"
    dragoman("backup", kept, "--data", installation)
    name, harm = TEARS[case]
    harm(kept)
    result = dragoman("restore", kept, "--data", fresh)
    assert (result.exit_code, name in result.output) == (2, True), result.output
    assert not fresh.exists()


def test_a_torn_backup_without_digests_leaves_nothing(installation: Path, tmp_path: Path) -> None:
    """The backup was made by an earlier version, which wrote no digests."""
    kept, fresh = tmp_path / "kept", tmp_path / "fresh"
    dragoman("backup", kept, "--data", installation)
    manifest = json.loads((kept / "backup.json").read_bytes())
    del manifest["digests"]
    (kept / "backup.json").write_text(json.dumps(manifest))
    tear(kept, "auth.db")
    result = dragoman("restore", kept, "--data", fresh)
    assert (result.exit_code, "auth.db cannot be copied" in result.output) == (1, True), result.output
    assert [path.name for path in fresh.rglob("*") if path.is_file()] == ["lock"]


def test_a_restore_that_fails_leaves_nothing(
    installation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, fresh = tmp_path / "kept", tmp_path / "fresh"
    dragoman("backup", kept, "--data", installation)
    with monkeypatch.context() as failing:
        failing.setattr(command, "_copy_media", fail_after_a_file)
        result = dragoman("restore", kept, "--data", fresh)
    assert (result.exit_code, "No space left on device" in result.output) == (1, True), result.output
    assert [path.name for path in fresh.rglob("[!.]*") if path.is_file()] == ["lock"]
    assert dragoman("restore", kept, "--data", fresh).exit_code == 0


def fail_after_a_file(_: Path, target: Path) -> None:
    (target / "blobs").mkdir(parents=True)
    (target / "blobs" / DIGEST).touch()
    raise OSError(errno.ENOSPC, "No space left on device", str(target))


# PostgreSQL


def test_a_restore_into_postgresql_that_fails_leaves_no_table(
    postgres_server: PostgresServer, installation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    monkeypatch.setenv("PATH", str(postgres_server.tools), prepend=os.pathsep)
    with postgres_server.databases() as before:
        for service in SERVICES:
            upgrade(service, settings_of(before).database_url(service))
        made = dragoman("backup", kept, "--data", installation, "--set", f"database.url={before}")
        assert made.exit_code == 0, made.output
    with postgres_server.databases() as after:
        options = ("restore", kept, "--data", tmp_path / "fresh", "--set", f"database.url={after}")
        with monkeypatch.context() as failing:
            failing.setattr(command, "_copy_media", fail_after_a_file)
            assert dragoman(*options).exit_code == 1
        again = dragoman(*options)
        assert again.exit_code == 0, again.output


@contextmanager
def one_database(server: PostgresServer) -> Iterator[str]:
    """One database with a separate schema for each service."""
    with server.database() as url:
        yield url.replace("+psycopg", "")


@pytest.mark.parametrize("made", [one_database, PostgresServer.databases])
def test_restore_brings_back_postgresql(
    installation: Path, tmp_path: Path, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, made: object
) -> None:
    assert callable(made)
    monkeypatch.setenv("PATH", str(postgres_server.tools), prepend=os.pathsep)
    with made(postgres_server) as source:
        for service in SERVICES:
            upgrade(service, settings_of(source).database_url(service))
        with open_database(settings_of(source).database_url("auth")) as connection, connection.begin():
            connection.execute(sa.text("UPDATE state SET value = 42 WHERE name = 'revocations'"))
        backed_up = dragoman("backup", tmp_path / "kept", "--data", installation, "--set", f"database.url={source}")
        assert backed_up.exit_code == 0, backed_up.output
        before = epoch(settings_of(source).database_url("message"))
    with made(postgres_server) as target:
        command: list[str | Path] = [
            "restore",
            tmp_path / "kept",
            "--data",
            tmp_path / "fresh",
            "--set",
            f"database.url={target}",
        ]
        restored = dragoman(*command)
        assert restored.exit_code == 0, restored.output
        for service in SERVICES:
            with open_database(settings_of(target).database_url(service)) as connection:
                require_current(service, connection)
        with open_database(settings_of(target).database_url("auth")) as connection:
            value = sa.text("SELECT value FROM state WHERE name = 'revocations'")
            assert connection.execute(value).scalar_one() == 42
        assert epoch(settings_of(target).database_url("message")) != before
        again = dragoman(*command[:2], "--data", tmp_path / "fresher", *command[4:])
        assert (again.exit_code, "has tables, and nothing is overwritten" in again.output) == (2, True)


def settings_of(url: str) -> Settings:
    return load(None, {"database.url": url})[0]


def test_error_without_postgresql_tools(installation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    url = "database.url=postgresql://127.0.0.1:1/x"
    result = dragoman("backup", tmp_path / "kept", "--data", installation, "--set", url)
    assert (result.exit_code, "pg_dump is not on the PATH" in result.output) == (2, True)


def test_error_for_an_unreachable_postgresql(
    installation: Path, tmp_path: Path, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(postgres_server.tools), prepend=os.pathsep)
    url = "database.url=postgresql://ann:secret@127.0.0.1:1/x"
    result = dragoman("backup", tmp_path / "kept", "--data", installation, "--set", url)
    assert (result.exit_code, "pg_dump failed" in result.output, "secret" in result.output) == (1, True, False)


def test_restore_rejects_another_kind_of_database(installation: Path, tmp_path: Path) -> None:
    dragoman("backup", tmp_path / "kept", "--data", installation)
    url = "database.url=postgresql://127.0.0.1:1/x"
    result = dragoman("restore", tmp_path / "kept", "--data", tmp_path / "fresh", "--set", url)
    assert (result.exit_code, "holds sqlite databases, and database.url names postgresql" in result.output) == (2, True)
