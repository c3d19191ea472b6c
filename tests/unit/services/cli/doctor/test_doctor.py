"""Tests `dragoman doctor` on an installation without faults, and on one with each fault."""

import asyncio
import os
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import nats.errors
import pytest
from click.testing import CliRunner, Result
from nats.js import JetStreamContext

from dragoman.main import main
from local.ports import free_port
from local.process_group import ProcessGroup
from services.auth.adapters.signing_keys import ensure_keys
from services.cli.doctor import broker, stores
from services.cli.migrations import migrate_all
from shared.contract.auth import Login
from shared.contract.permissions import BUS_USERS, BusUser
from tests.support.databases import forgotten_transaction
from tests.support.servers import NatsServer, PostgresServer, S3Server, ValkeyServer
from tests.unit.services.cli.installed import write_installation

FEW = "edge.max_connections=10"
NOWHERE = "127.0.0.1:1"


@pytest.fixture
async def installation(nats_server: NatsServer, valkey_server: ValkeyServer, tmp_path: Path) -> Path:
    """The data directory of an installation without faults."""
    found = write_installation(nats_server, tmp_path, valkey_server)
    await asyncio.to_thread(migrate_all, found, ["auth", "session", "message"])
    ensure_keys(tmp_path / "keys")
    return tmp_path


async def doctor(directory: Path, *assignments: str, services: tuple[str, ...] = ()) -> Result:
    settings = [part for one in (FEW, *assignments) for part in ("--set", one)]
    command = ["doctor", "--data", str(directory), *settings, *services]
    return await asyncio.to_thread(CliRunner().invoke, main, command)


async def failure(directory: Path, *assignments: str) -> str:
    """Returns the only line about a failure."""
    result = await doctor(directory, *assignments)
    assert result.exit_code == 1, result.output
    [line] = [line for line in result.output.splitlines() if line.startswith("✗")]
    return line


async def test_healthy_installation_passes(installation: Path) -> None:
    result = await doctor(installation)
    lines = result.output.splitlines()
    assert (result.exit_code, [line for line in lines if line[0] != "✓"]) == (0, [])
    whats = [line[2:18].strip() for line in lines]
    assert whats[0] == "settings"
    users = [*BUS_USERS, "setup"]
    assert [what for what in whats if what.startswith("nats")] == [f"nats {user}" for user in users]
    assert {"streams", "valkey edge", "clock of valkey", "database auth", "descriptors", "secrets"} < set(whats)
    assert "***" in result.output
    for secret in (installation / "credentials.json").read_text().split('"')[1::2]:
        assert len(secret) < 20 or secret not in result.output


async def test_findings_as_json(installation: Path) -> None:
    command = ["doctor", "--data", str(installation), "--set", FEW, "--json"]
    result = await asyncio.to_thread(CliRunner().invoke, main, command)
    assert '"what": "streams",\n    "good": true' in result.output


async def test_unreachable_broker(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "_SECONDS", 1.0)
    result = await doctor(installation, f"nats.url=nats://{NOWHERE}")
    assert result.exit_code == 1
    assert f"✗ nats              nats://{NOWHERE} " in result.output
    assert "or set nats.url" in result.output
    assert "- streams           only the NATS user setup may check them" in result.output


async def test_wrong_broker_password(installation: Path, nats_server: NatsServer) -> None:
    url = nats_server.settings("edge").url
    line = await failure(installation, f"nats.url={url}", "nats.user=edge", "nats.password=wrong")
    assert line.startswith("✗ nats edge")
    assert "authorization violation" in line.lower()


async def test_missing_streams(installation: Path, nats_server: NatsServer) -> None:
    await asyncio.to_thread(nats_server.make_bare)
    assert "streams           some are missing: run `dragoman migrate`" in await failure(installation)


async def test_missing_broker_permission(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = BusUser(requests=(*BUS_USERS["admin"].requests, Login.route))
    monkeypatch.setattr(broker, "BUS_USERS", {**BUS_USERS, "admin": admin})
    line = await failure(installation)
    assert line.startswith("✗ nats admin        this user may not publish auth.login at")


async def test_unrestricted_valkey_user(installation: Path, valkey_server: ValkeyServer) -> None:
    keeper = valkey_server.keeper_url
    assert "valkey keeper     this user may do anything at redis://keeper:***@" in await failure(
        installation, f"redis.url={keeper}"
    )


async def test_redis_cluster(installation: Path, tmp_path: Path, process_group: ProcessGroup) -> None:
    node = ValkeyServer(tmp_path / "node", process_group, f"cluster-enabled yes\ncluster-port {free_port()}\n".encode())
    node.start()
    url = node.keeper_url
    assert "leads to a server of the kind cluster" in await failure(installation, f"redis.url={url}")
    node.stop()


async def test_unreachable_valkey(installation: Path) -> None:
    assert f"redis://{NOWHERE}/0 does not answer" in await failure(installation, f"redis.url=redis://{NOWHERE}/0")


async def test_database_not_migrated(installation: Path) -> None:
    (installation / "session.db").write_bytes(b"")
    assert "is at revision none" in (await doctor(installation)).output
    (installation / "session.db").unlink()
    printed = (await doctor(installation)).output
    assert "session.db does not exist: run `dragoman migrate`" in printed
    assert "✗ databases" in printed
    assert "the database of session is new, and that of message is not" in printed
    assert not (installation / "session.db").exists()


async def test_postgresql_databases(installation: Path, postgres_server: PostgresServer) -> None:
    with postgres_server.databases() as url:
        setting = f"database.url={url}"
        result = await doctor(installation, setting, services=("auth",))
        assert "is at revision none" in result.output
        command = ["migrate", "--set", setting, "auth"]
        await asyncio.to_thread(CliRunner().invoke, main, command)
        result = await doctor(installation, setting, services=("auth",))
        assert result.exit_code == 0
        assert "✓ clock of database auth" in result.output
        assert "database session" not in result.output
        assert postgres_server.url("x").split(":")[2].partition("@")[0] not in result.output


async def test_a_read_only_database(installation: Path, postgres_server: PostgresServer) -> None:
    with postgres_server.databases() as url:
        setting = f"database.url={url}"
        await asyncio.to_thread(CliRunner().invoke, main, ["migrate", "--set", setting, "auth"])
        with postgres_server.read_only(url.replace("{service}", "auth")):
            result = await doctor(installation, setting, services=("auth",))
    assert result.exit_code == 1
    assert "read-only transaction): start the server, make room on its disk, or set database.url" in result.output


async def test_a_forgotten_transaction(installation: Path, postgres_server: PostgresServer) -> None:
    with postgres_server.databases() as url:
        setting = f"database.url={url}"
        await asyncio.to_thread(CliRunner().invoke, main, ["migrate", "--set", setting, "message"])
        with forgotten_transaction(url.replace("{service}", "message"), "LOCK TABLE heads"):
            result = await doctor(installation, setting, services=("message",))
        assert (await doctor(installation, setting, services=("message",))).exit_code == 0
    assert result.exit_code == 1
    found = re.search(r"process (\d+) \(a report, idle .*\) has locked heads: end it by SQL: (.*)", result.output)
    assert found is not None, result.output
    assert found[2] == f"SELECT pg_terminate_backend({found[1]})"


async def test_a_locked_sqlite_database(installation: Path) -> None:
    with closing(sqlite3.connect(installation / "session.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        found = await failure(installation)
    assert (
        f"(database is locked): end the program that writes to the database: `fuser -v {installation / 'session.db'}`"
        in found
    )


async def test_a_stream_that_stores_nothing(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def store_nothing(*_: object, **__: object) -> None:
        raise nats.errors.TimeoutError

    monkeypatch.setattr(JetStreamContext, "publish", store_nothing)
    assert "no event is stored: make room on the disk of the data directory: `dragoman up`" in await failure(
        installation
    )


def test_clock_skew() -> None:
    assert stores._clock("x", 100.0, 100.2, 100.4).good
    assert stores._clock("x", 101.0, 100.2, 100.4).text.startswith("is 0.6 s off")
    assert stores._clock("x", 99.0, 100.2, 100.4).text.startswith("is 1.2 s off")


async def test_unreachable_mail_server(installation: Path) -> None:
    settings = ["mail.smtp_host=127.0.0.1", "mail.smtp_port=1", "edge.public_url=http://chat.example"]
    assert "127.0.0.1:1 does not accept mail (ConnectionRefusedError" in await failure(installation, *settings)


async def test_mail_without_public_url(installation: Path) -> None:
    result = await doctor(installation, "mail.smtp_host=127.0.0.1", "mail.smtp_port=1", "edge.port=0")
    assert "✗ settings          incomplete: mail.smtp_host is set, and edge.public_url is not" in result.output


async def test_bucket(installation: Path, s3_server: S3Server) -> None:
    keys = ["media.access_key=x", "media.secret_key=y", "media.region=x"]
    here = [f"media.bucket_url=s3://{s3_server.bucket()}", f"media.endpoint={s3_server.endpoint}"]
    assert (await doctor(installation, *keys, *here)).exit_code == 0
    away = [here[0], f"media.endpoint=http://{NOWHERE}", "media.timeout_seconds=1"]
    assert "cannot be read" in await failure(installation, *keys, *away)


async def test_key_readable_by_others(installation: Path) -> None:
    [key] = (installation / "keys").glob("*.pem")
    key.chmod(0o640)
    assert f"other users may read {key}: chmod go= {key}" in await failure(installation)


async def test_a_mounted_secret_may_be_read_by_the_group(
    installation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The secret is mounted as Kubernetes mounts it: read-only, in a directory that is open to all.

    Its files belong to root and to the pod's group.
    """
    keys = tmp_path / "keys"
    [key] = keys.glob("*.pem")
    keys.chmod(0o777)
    key.chmod(0o440)
    mounted = os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, os.ST_RDONLY, 255))
    real = os.statvfs
    monkeypatch.setattr(os, "statvfs", lambda path: mounted if Path(path).is_relative_to(keys) else real(path))
    monkeypatch.setattr(os, "getuid", lambda: key.stat().st_uid + 1)
    result = await doctor(installation, services=("auth",))
    assert result.exit_code == 0, result.output
    key.chmod(0o444)
    assert f"other users may read {key}" in await failure(installation)


async def test_a_process_is_checked_for_its_own_needs_only(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = ["media.bucket_url=s3://x", f"media.endpoint=http://{NOWHERE}", "mail.smtp_host=127.0.0.1",
                 "mail.smtp_port=1", "edge.public_url=http://chat.example", "media.timeout_seconds=1"]  # fmt: skip
    result = await doctor(installation, *elsewhere, services=("session",))
    assert result.exit_code == 0, result.output
    whats = {line[2:18].strip() for line in result.output.splitlines()}
    assert {"descriptors", "media", "secrets", "mail", "bucket"}.isdisjoint(whats)
    assert "✗ bucket" in (await doctor(installation, *elsewhere, services=("edge",))).output
    assert "✗ mail" in (await doctor(installation, *elsewhere, services=("auth",))).output
    result = await doctor(installation, f"redis.url=redis://{NOWHERE}/0", services=("search",))
    assert (result.exit_code, "valkey" in result.output) == (0, False), result.output
    monkeypatch.setattr(broker, "_SECONDS", 1.0)
    (installation / "apart").mkdir()  # the settings of a search container do not name Valkey either
    result = await doctor(installation / "apart", f"nats.url=nats://{NOWHERE}", services=("search",))
    assert ("✗ nats" in result.output, "✗ system" in result.output) == (True, False), result.output


async def test_too_few_descriptors(installation: Path) -> None:
    assert "ulimit -Hn 900000256" in await failure(installation, "edge.max_connections=900000000")


async def test_no_proxy_where_one_must_be(installation: Path) -> None:
    assert "✗ proxies" in await failure(installation, "edge.public_url=https://chat.example")
    assert "proxies" not in (await doctor(installation, services=("auth",))).output


async def test_full_disk(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil._ntuple_diskusage(2**40, 2**40 - 2**20, 2**20)
    monkeypatch.setattr("services.cli.doctor.machine.shutil.disk_usage", lambda _: full)
    assert "1 MiB are free on the disk of" in await failure(installation)
    small_volume = shutil._ntuple_diskusage(2**30, 2**26, 2**30 - 2**26)
    monkeypatch.setattr("services.cli.doctor.machine.shutil.disk_usage", lambda _: small_volume)
    assert (await doctor(installation)).exit_code == 0
