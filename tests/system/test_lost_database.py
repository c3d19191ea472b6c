"""An installation has lost one of its three databases. No user may get the history of another account."""

import shutil
from pathlib import Path

import pytest

from local.data import read_run
from tests.support.cluster import RELAXED, Cluster
from tests.support.commands import run_dragoman
from tests.system.users import V2User, new_account

_SECONDS = 60.0


def start_in_vain(cluster: Cluster) -> str:
    """Starts a system that does not start completely, and returns its output."""
    with pytest.raises(RuntimeError), cluster:
        pass
    assert read_run(cluster.data) is None
    return cluster.log.read_text()


def remove(data: Path, *names: str) -> None:
    for name in names:
        (data / name).unlink(missing_ok=True)


def test_nobody_registers_beside_a_lost_database(tmp_path: Path) -> None:
    ann, bob, eve = new_account(), new_account(), new_account()
    data, early, late = tmp_path / "data", tmp_path / "early", tmp_path / "late"
    with Cluster(data, *RELAXED, edges=1) as cluster, V2User(cluster.edges[0]) as user:
        ann.number = user.register(ann).account.number
        run_dragoman(["backup", early, "--data", data], tmp_path / "backup.log", _SECONDS)
        with V2User(cluster.edges[0]) as second:
            bob.number = second.register(bob).account.number
        run_dragoman(["backup", late, "--data", data], tmp_path / "backup.log", _SECONDS)

    remove(data, "auth.db", "auth.db-wal", "auth.db-shm")
    printed = start_in_vain(Cluster(data, *RELAXED, edges=1))
    assert "the database of auth is new, and that of message is not: auth's was lost or replaced" in printed
    assert not (data / "auth.db").exists()

    shutil.copy(early / "auth.db", data / "auth.db")  # the database is now as if its newest log had been lost
    printed = start_in_vain(Cluster(data, *RELAXED, edges=1))
    assert f"it ends with account {ann.number}, but session knows account {bob.number}" in printed

    remove(data, "auth.db", "auth.db-wal", "auth.db-shm")
    run_dragoman(["restore", "--only", "auth", late, "--data", data], tmp_path / "restore.log", _SECONDS)
    with Cluster(data, *RELAXED, edges=1) as cluster, V2User(cluster.edges[0]) as user:
        assert user.login(bob)["status"] == 0
        with V2User(cluster.edges[0]) as stranger:
            assert stranger.register(eve).account.number not in (ann.number, bob.number)
