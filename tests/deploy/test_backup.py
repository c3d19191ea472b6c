"""Tests the backup script of the chart and of Compose. `dragoman restore` must be able to read the backups."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from dragoman.main import main
from local.up_plan import SERVICES
from services.auth.adapters.signing_keys import ensure_keys
from tests.deploy.manifests import CHART
from tests.support.servers import PostgresServer
from tests.support.service_roles import connected, drop_roles, prepared

SECONDS = 300.0


def dragoman(*arguments: str | Path) -> None:
    result = CliRunner().invoke(main, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output


class BackupPod:
    """The directories that the backup's pod mounts, and its script, which uses paths of this machine."""

    def __init__(self, directory: Path, server: PostgresServer, url: str) -> None:
        self._server = server
        script = (CHART / "files" / "backup.sh").read_text()
        self._script = re.sub('(?<=[ ="-])/(?=(secrets|keys|backups|scratch|tmp)\\b)', f"{directory}/", script)
        for name in ("secrets", "keys", "backups", "scratch", "tmp", "metrics"):
            (directory / name).mkdir()
            (directory / name).chmod(0o777)
        self.backups = directory / "backups"
        self.media = directory / "media"
        self.metrics = directory / "metrics"
        self.settings = directory / "secrets" / "dragoman.toml"
        self.settings.write_text(f'[database]\nurl = "{url}"\n')
        ensure_keys(directory / "keys")
        for key in (directory / "keys").iterdir():
            key.chmod(0o644)

    def run(
        self, keep: int = 14, restore: str = "", media: str | Path = "", before: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        """Runs the script as the user of the PostgreSQL server, because PostgreSQL does not run as root. `before` runs
        before the script."""
        path = f"{self._server.tools}:{os.environ['PATH']}"
        return subprocess.run(
            ["/bin/sh", "-c", before + self._script], cwd="/",
            env={
                "PATH": path, "KEEP": str(keep), "RESTORE": restore, "MEDIA": str(media),
                "METRICS": str(self.metrics),
            },
            capture_output=True, text=True, check=False, timeout=SECONDS,
            user="nobody" if os.geteuid() == 0 else None,
        )  # fmt: skip

    def use(self, secrets: Path) -> None:
        """Returns the settings of `migrate`, as it has them on a cluster."""
        self.settings.write_bytes((secrets / "migrate" / "dragoman.toml").read_bytes())

    def finished(self) -> list[Path]:
        return sorted(self.backups.glob("20*"))


@pytest.fixture
def pod(postgres_server: PostgresServer, server_directory: Path) -> Iterator[BackupPod]:
    with postgres_server.database() as url, tempfile.TemporaryDirectory(dir=server_directory) as directory:
        Path(directory).chmod(0o755)
        yield BackupPod(Path(directory), postgres_server, url.replace("+psycopg", ""))


def test_its_backup_is_one_that_dragoman_restores(
    pod: BackupPod, postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(postgres_server.tools), prepend=os.pathsep)
    dragoman("migrate", "--config", pod.settings, *SERVICES)
    done = pod.run()
    assert done.returncode == 0, done.stderr
    (backup,) = pod.finished()
    with postgres_server.database() as second:
        plain = second.replace("+psycopg", "")
        dragoman("restore", backup, "--set", f"database.url={plain}", "--data", tmp_path / "fresh")
        with psycopg.connect(plain) as connection:
            assert connection.execute("SELECT count(*) FROM auth.state").fetchone() != (0,)
    assert list((tmp_path / "fresh" / "keys").glob("*.pem"))


def test_backups_share_the_files_that_they_have_in_common(
    pod: BackupPod, postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(postgres_server.tools), prepend=os.pathsep)
    dragoman("migrate", "--config", pod.settings, *SERVICES)
    for name in ("blobs/kept", "blobs/removed", "records/kept", "spool/half"):
        (pod.media / name).parent.mkdir(parents=True, exist_ok=True)
        (pod.media / name).write_text(name)
    assert pod.run(media=pod.media).returncode == 0
    (first,) = pod.finished()
    first = first.rename(first.with_name("2026-01-01T000000Z"))
    (pod.media / "blobs" / "removed").unlink()
    (pod.media / "records" / "kept").write_text("used as an avatar")
    finds_expired = f'find() {{ command find "$@"; case $1 in {pod.media}/*) echo "$1/expired" ;; esac; }}\n'
    assert pod.run(media=pod.media, before=finds_expired).returncode == 0
    second = pod.finished()[-1]
    copied = [path for path in (second / "media").rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to(second / "media")) for path in copied) == ["blobs/kept", "records/kept"]
    assert (first / "media" / "blobs" / "kept").samefile(second / "media" / "blobs" / "kept")
    assert (second / "media" / "records" / "kept").read_text() == "used as an avatar"
    with postgres_server.database() as other:
        place = tmp_path / "fresh"
        dragoman("restore", second, "--set", f"database.url={other.replace('+psycopg', '')}", "--data", place)
    assert (place / "media" / "blobs" / "kept").read_text() == "blobs/kept"


@pytest.fixture
def roles(postgres_server: PostgresServer) -> Iterator[None]:
    """Drops the roles of the database after the test."""
    yield
    drop_roles(postgres_server)


@pytest.mark.usefixtures("roles")
def test_it_restores_into_an_empty_database_in_which_the_services_have_their_rights(
    postgres_server: PostgresServer, pod: BackupPod, tmp_path: Path
) -> None:
    with postgres_server.database() as first, postgres_server.database() as second:
        pod.use(prepared(postgres_server, first, tmp_path))
        dragoman("migrate", "--config", pod.settings, *SERVICES)
        assert pod.run().returncode == 0
        (backup,) = pod.finished()
        again = pod.run(restore=backup.name)
        assert (again.returncode, "nothing is overwritten" in again.stdout) == (1, True)
        with connected(tmp_path, "message") as connection:
            epoch = connection.execute("SELECT value FROM message.epochs").fetchall()
        pod.use(prepared(postgres_server, second, tmp_path))
        assert "there is no" in pod.run(restore="2020").stdout
        # the next backup contains files, but no volume for files exists
        (backup / "media" / "records").mkdir(parents=True)
        done = pod.run(restore=backup.name)
        assert done.returncode == 0, done.stderr
        dragoman("migrate", "--config", pod.settings, *SERVICES)
        with connected(tmp_path, "message") as connection:
            assert connection.execute("SELECT value FROM message.epochs").fetchall() != epoch
        with connected(tmp_path, "auth") as connection:
            connection.execute("UPDATE auth.state SET value = 1")
            number = connection.execute("SELECT nextval(pg_get_serial_sequence('auth.accounts', 'id'))").fetchone()
            assert number == (100_001,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("CREATE TABLE auth.intruder (number int)")


def test_a_failed_backup_does_not_count(pod: BackupPod) -> None:
    (pod.backups / "2020-01-01T000000Z").mkdir()
    done = pod.run(keep=1)
    assert done.returncode != 0
    assert "schema" in done.stderr
    assert list(pod.metrics.iterdir()) == []
    assert [one.name for one in pod.finished()] == ["2020-01-01T000000Z"]


def test_two_backups_at_once_are_two_whole_backups(pod: BackupPod) -> None:
    """The second one begins when the first one is about to count."""
    first, second = (pod.backups.parent / "tmp" / name for name in ("first", "second"))
    for pipe in (first, second):
        os.mkfifo(pipe)
        pipe.chmod(0o666)
    waits = f"sync() {{ echo > {first}; read -r _ < {second}; }}\n"
    once = f'tell() {{ [ -n "${{told:-}}" ] || {{ told=yes; echo > {second}; }}; }}\n'
    begins = f'rm() {{ command rm "$@"; tell; }}\nflock() {{ tell; command flock "$@"; }}\nread -r _ < {first}\n'
    dragoman("migrate", "--config", pod.settings, *SERVICES)
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda before: pod.run(before=before), (waits, once + begins)))
    assert [one.returncode for one in done] == [0, 0], done
    for backup in pod.finished():
        assert {"auth-session-message.dump", "backup.json", "keys"} <= {path.name for path in backup.iterdir()}
    assert len(pod.finished()) == 2


def test_the_newest_stay(pod: BackupPod) -> None:
    dragoman("migrate", "--config", pod.settings, *SERVICES)
    for old in ("2020-01-01T000000Z", "2020-01-02T000000Z", "lost+found"):
        (pod.backups / old).mkdir()
    done = pod.run(keep=2)
    assert done.returncode == 0, done.stderr
    first, second = pod.finished()
    noted = pod.metrics / "backup.prom"
    assert re.fullmatch(r"dragoman_backup_time_seconds \d{10}\n", noted.read_text())
    assert noted.stat().st_mode & 0o777 == 0o644, "another user reads it"
    assert first.name == "2020-01-02T000000Z"
    assert (second / "backup.json").is_file()
    assert (pod.backups / "lost+found").is_dir()
