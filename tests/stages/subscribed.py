"""Measures how much notifications slow down messages: `python -m tests.stages.subscribed`.

There are two systems with equally many accounts, and in one of them each account has a push subscription. They are
measured in turns: the rate of pairs of users, their latency at a fixed rate, and a group. Then both have the same load
at the same time, and their CPU times for a message are compared, because these vary less. Then one message causes
notifications to `--burst` devices. The latency is measured before, while the server sends these notifications to a push
service, which this program simulates, and afterwards. On a machine with few cores, any process that takes CPU time
delays others. So the control is the latency beside an unrelated process that takes as much CPU time.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from statistics import median

import msgspec
import sqlalchemy as sa

from bench.report.result import Result
from bench.system.seeding import Seeder
from bench.system.system import MeasuredSystem, SystemSize, own_system
from services.auth.tables import logins
from services.session.tables.push import push_subscription
from shared.clock import now_ms
from shared.database import open_engine
from shared.vapid import public_text
from tests.stages.comparing import costs, table
from tests.support.native_http import post
from tests.support.push_device import PushedDevice
from tests.support.tls_servers import Certificates

_LOADS = {
    "pairs": ("pairs", "--people", "40"),
    "latency": ("pairs", "--people", "40", "--rate", "100"),
    "group": ("group", "--people", "100", "--speakers", "10"),
}
_SAME_RATE = {
    "pairs": ("pairs", "--people", "40", "--rate", "1000"),
    "group": ("group", "--people", "100", "--speakers", "10", "--rate", "40"),
}
_SETTINGS = ('push.permitted_networks=["127.0.0.0/8"]', "push.delay_seconds=2")
_DRAIN_SECONDS = 600.0
_SPIN = """
import sys, time
while True:
    end = time.thread_time() + 0.001
    while time.thread_time() < end:
        pass
    time.sleep(0.001 / float(sys.argv[1]) - 0.001)
"""
_ANSWER = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"


class CountingPushService:
    """A push service that accepts every notification, on connections that carry several.

    `accepted` is the number of requests.
    """

    def __init__(self) -> None:
        self.accepted = self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
                await reader.readexactly(int(fields[b"content-length"]))
                writer.write(_ANSWER)
                await writer.drain()
                self.accepted += 1
        writer.close()


def subscribe(system: MeasuredSystem, accounts: range, origin: str) -> None:
    """Subscribes a device for each of these accounts."""
    assert system.installation is not None
    settings, members = system.installation.settings, PushedDevice().members("")
    credentials = json.loads((settings.data / "credentials.json").read_text())
    device = {
        "origin": origin, "p256dh": members["p256dh"], "auth": members["auth"], "kind": "unifiedpush",
        "vapid_key": public_text(credentials["push_key"]), "language": "en", "created": now_ms() - 1, "last_ok": 0,
        "last_error": "", "attempts": 0, "failing_since": 0, "due": 0, "lease": "", "leased_until": 0,
    }  # fmt: skip
    login = {"created": 0, "expires": now_ms() // 1000 + 86_400, "address": "", "client": "native"}
    rows = [{"sid": f"{one}", "account": one} for one in accounts]
    devices = [{**row, "digest": row["sid"], "endpoint": f"{origin}/{row['sid']}", **device} for row in rows]
    held = [row | login for row in rows]
    for service, rows_of, some in (("session", push_subscription, devices), ("auth", logins, held)):
        with open_engine(settings.database_url(service)) as engine, engine.begin() as connection:
            connection.execute(sa.insert(rows_of), some)


async def measured(system: MeasuredSystem, load: Sequence[str], seconds: float) -> Result:
    """Measures a system. Raises RuntimeError if the run has faults."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "result.json"
        options = ["--seconds", str(seconds), "--data", str(system.data), "--json", str(file)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "dragoman.main", "bench", *load, *options,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        printed, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"the load {load} failed:\n{printed.decode()}")
        return msgspec.json.decode(file.read_bytes(), type=list[Result])[0]


async def in_turns(without: MeasuredSystem, with_them: MeasuredSystem, seconds: float, rounds: int) -> None:
    """Shows the ratios of the rates, and the ratios of the median latencies."""
    ratios = defaultdict[str, list[float]](list)
    for number in range(rounds):
        turn = -1 if number % 2 else 1
        for name, load in _LOADS.items():
            results = [await measured(one, load, seconds) for one in (without, with_them)[::turn]][::turn]
            figures = [
                one.measures["delivery"].p50 if name == "latency" else one.figures["delivered/s"] for one in results
            ]
            ratios[name].append(figures[1] / figures[0])
            _show(f"round {number + 1}, {name}: {figures[0]:,.0f} without, {figures[1]:,.0f} with")
    for name, each in ratios.items():
        _show(f"{name}: {median(each):.3f} of the system without, each {[round(one, 3) for one in each]}")


async def at_once(without: MeasuredSystem, with_them: MeasuredSystem, seconds: float, rounds: int) -> None:
    """Shows the CPU times for a message, at a rate that leaves a part of the CPU idle: *here* without subscriptions,
    *there* with them."""
    for name, load in _SAME_RATE.items():
        pairs = [
            await asyncio.gather(*(measured(one, load, seconds) for one in (without, with_them))) for _ in range(rounds)
        ]
        _show(f"{name} at the same time\n{table([(costs(here), costs(there)) for here, there in pairs])}")


@contextlib.asynccontextmanager
async def spinning(share: float) -> AsyncIterator[None]:
    """A process that takes this share of a core, in pieces of a millisecond."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _SPIN, str(share))
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def latency(system: MeasuredSystem, name: str, seconds: float) -> tuple[float, float]:
    """Measures and shows the latency. Returns its p99 in milliseconds, and the share of a core that session and the
    simulated push service take."""
    began, used = time.monotonic(), system.cpu()["session"] + time.process_time()
    found = (await measured(system, _LOADS["latency"], seconds)).measures["delivery"]
    share = (system.cpu()["session"] + time.process_time() - used) / (time.monotonic() - began)
    _show(f"latency {name}: p50 {found.p50 / 1000:.1f} ms, p99 {found.p99 / 1000:.1f} ms; {share:.2f} cores")
    return found.p99 / 1000, share


async def burst(
    system: MeasuredSystem, service: CountingPushService, seeder: Seeder, accounts: range, seconds: float
) -> None:
    """Sends one message that notifies all these accounts, except its sender."""
    chats = await asyncio.to_thread(seeder.chats, accounts, len(accounts))
    await seeder.publish(chats)
    before, least = await latency(system, "before", seconds)
    (sender,) = seeder.users([accounts[0]])
    edge, used = system.edges[0].replace("ws", "http", 1), system.cpu()["session"]
    sent = await asyncio.to_thread(post, edge, "send", sender.token, chat=chats[0], text="burst", nonce="burst")
    assert sent.status == 200, sent.body
    async with asyncio.timeout(_DRAIN_SECONDS):
        while not service.accepted:
            await asyncio.sleep(0.05)
        began = time.monotonic()
        meanwhile, share = await latency(system, "while they drain", seconds)
        during, wanted = service.accepted, len(accounts) - 1
        while service.accepted < wanted:
            await asyncio.sleep(0.1)
    took, used = time.monotonic() - began, (system.cpu()["session"] - used) / wanted
    _show(f"{wanted:,} notifications in {took:.1f} s; {during:,} until the load ended; {service.accepted:,} in all")
    _show(f"{used * 1000:.1f} ms of session's CPU for each; {service.connections:,} connections")
    after, _ = await latency(system, "afterwards", seconds)
    more = max(0.01, share - least)  # a small burst may take less than the variation
    async with spinning(more):
        control, _ = await latency(system, f"beside another process that takes {more:.2f} cores", seconds)
    usual = (before + after) / 2
    _show(f"growth of p99: {meanwhile - usual:+.1f} ms, of the control {control - usual:+.1f} ms")


@contextlib.asynccontextmanager
async def running(place: Path) -> AsyncIterator[tuple[MeasuredSystem, MeasuredSystem, CountingPushService, str]]:
    certificates, service = Certificates(place / "tls", "127.0.0.1"), CountingPushService()
    os.environ["SSL_CERT_FILE"] = str(certificates["ca.crt"])  # the two systems read this variable
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0, ssl=certificates.server_context())
    port, size = server.sockets[0].getsockname()[1], SystemSize(2)
    async with server, own_system(size, _SETTINGS, _show) as one, own_system(size, _SETTINGS, _show) as two:
        yield one, two, service, f"https://127.0.0.1:{port}"


async def run(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="dragoman-subscribed-") as place:
        async with running(Path(place)) as (without, with_them, service, origin):
            for system in (without, with_them):
                assert system.installation is not None
                seeder = await asyncio.to_thread(Seeder, system.installation)
                accounts = await asyncio.to_thread(seeder.accounts, options.subscriptions)
            await asyncio.to_thread(subscribe, with_them, accounts, origin)
            if options.rounds:
                await in_turns(without, with_them, options.seconds, options.rounds)
                await at_once(without, with_them, options.seconds, options.rounds)
            if options.burst:
                await burst(with_them, service, seeder, accounts[: options.burst], options.beside)


def _show(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.stages.subscribed", description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=100_000, help="default 100,000")
    parser.add_argument("--burst", type=int, default=10_000, help="devices that one message notifies; 0: none")
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each run (default 6)")
    parser.add_argument("--beside", type=float, default=30.0, help="seconds of each latency of the burst (default 30)")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
