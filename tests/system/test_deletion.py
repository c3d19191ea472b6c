"""An account is deleted in all services, also when one of the services was unavailable at the time."""

import asyncio
import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import nats
import pytest

from local.nats import SETUP
from shared.contract.subjects import ACCOUNT_DELETED, STREAM, durable
from tests.drills.archive import broker
from tests.support.cluster import RELAXED, Cluster
from tests.system.users import V2User

pytestmark = pytest.mark.xdist_group("system")

DELETION_SECONDS = 15.0
"""Auth requests again after two seconds if a service does not reply. The additional time is for a busy machine."""
SECONDS = 20.0
GONE = "已注销用户"


@contextmanager
def frozen(system: Cluster, name: str) -> Iterator[None]:
    system.signal(name, signal.SIGSTOP)
    try:
        yield
    finally:
        system.signal(name, signal.SIGCONT)


@contextmanager
def dead(system: Cluster, name: str) -> Iterator[None]:
    with system.unsupervised():
        system.signal(name, signal.SIGKILL)
        yield


@pytest.mark.parametrize(("away", "service"), [(frozen, "message"), (dead, "session")])
async def test_a_deletion_that_a_service_missed_is_done_when_it_is_back(
    system: Cluster,
    couple: tuple[V2User, V2User, int],
    away: Callable[[Cluster, str], AbstractContextManager[None]],
    service: str,
) -> None:
    leaver, stayer, session = couple
    stayer.post(session, "hello")
    before = await acknowledged(system, service)
    with away(system, service):
        began = time.monotonic()
        assert leaver.request({"code": 16}, 17) == {"code": 17, "status": 0}
        assert time.monotonic() - began < DELETION_SECONDS
    async with asyncio.timeout(SECONDS):
        while await acknowledged(system, service) == before:
            await asyncio.sleep(0.05)
    check_deleted(leaver, stayer, session)


def test_a_deletion_is_carried_out_although_the_broker_lost_it(
    system: Cluster, couple: tuple[V2User, V2User, int]
) -> None:
    """Session and message do not get the request, and the event is lost together with the stored data of NATS."""
    leaver, stayer, session = couple
    stayer.post(session, "hello")
    with frozen(system, "session"), frozen(system, "message"):
        assert leaver.request({"code": 16}, 17) == {"code": 17, "status": 0}
        shutil.rmtree(system.data / "nats" / "store")
        system.kill("nats")
    ocid = f"{leaver.account.number:010d}"
    deadline = time.monotonic() + SECONDS
    while is_named(stayer, ocid) != GONE:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    check_deleted(leaver, stayer, session)


def is_named(asker: V2User, ocid: str) -> str:
    reply = asker.request({"code": 10, "ocid": ocid, "request_values": ["nickname"]}, 11)
    return str(reply.get("data", {}).get("nickname", ""))


async def acknowledged(system: Cluster, service: str) -> int:
    """The place in the stream up to which the service has acknowledged every deletion event."""
    settings = broker(system.data, SETUP)
    password = settings.password.get_secret_value()
    client = await nats.connect(settings.url, user=SETUP, password=password, inbox_prefix=f"inbox.{SETUP}")
    try:
        info = await client.jetstream().consumer_info(STREAM, durable(service, ACCOUNT_DELETED))
        return info.ack_floor.stream_seq if info.ack_floor else 0
    finally:
        await client.close()


def check_deleted(leaver: V2User, stayer: V2User, session: int) -> None:
    """Checks that no user can log in to the account.

    It is shown as deleted, and is in no session. All its messages remain.
    """
    account = leaver.account
    login = {"code": 6, "login_type": 0, "account": account.email, "password": account.secret}
    assert stayer.request(login, 7) == {"code": 7, "status": 1}
    ocid = f"{account.number:010d}"
    assert stayer.request({"code": 10, "ocid": ocid, "request_values": ["nickname"]}, 11)["data"] == {"nickname": GONE}
    view = stayer.request({"code": 1, "session_id": str(session), "request_values": ["members", "owner"]}, 2)["data"]
    assert view == {"members": [f"{stayer.account.number:010d}"], "owner": f"{stayer.account.number:010d}"}
    stayer.post(session, "alone")


def test_nothing_of_a_deleted_account_is_in_a_file_after_the_end(tmp_path: Path) -> None:
    """No database, write-ahead log or log of a process contains data of a deleted account."""
    with Cluster(tmp_path / "data", *RELAXED, edges=1) as system:
        with V2User(system.edges[0]) as leaver, V2User(system.edges[0]) as stayer:
            leaver.register()
            stayer.register()
            names = [leaver.account.email, leaver.account.name, json.dumps(leaver.account.name)[1:-1]]
            leaver.post(leaver.session(stayer, name="us"), "hello")
            assert leaver.request({"code": 16}, 17) == {"code": 17, "status": 0}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"auth.db", "session.db", "message.db", "data.log"} <= {path.name for path in files}
    assert [path for path in files if any(name.encode() in path.read_bytes() for name in names)] == []
