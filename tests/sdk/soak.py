"""The soak of the client libraries: `python -m tests.sdk.soak`.

Two users have a device in JavaScript and one in Python each, and a third user has an older protocol. They write to each
other while processes end, are killed, frozen and cut off. At the end, each device has the messages of a fresh history,
every text is there once, and no message waits in an outbox.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from signal import SIGCONT, SIGSTOP, SIGTERM
from typing import NamedTuple

from dragoman_client.client import Dragoman, text_of
from tests.sdk.device import DeviceKind, SoakDevice
from tests.sdk.legacy_user import LegacyUser
from tests.support.cluster import Cluster
from tests.support.javascript import NODE, WEBSOCKETS
from tests.support.proxy import TcpProxy

JAVASCRIPT = DeviceKind("javascript", (NODE, *WEBSOCKETS, str(Path(__file__).parent / "javascript_device.mjs")))
PYTHON = DeviceKind("python", (sys.executable, "-m", "tests.sdk.python_device"))
KINDS = (JAVASCRIPT, PYTHON)
SETTINGS = ("--no-limits", "--set", "auth.access_token_minutes=0.3", "--set", "auth.refresh_grace_seconds=15")
SERVICES = ("edge-1", "edge-2", "message", "session", "auth")
FAULT_EVERY_SECONDS = 2.0
_FROZEN_SECONDS = 4.0
_EDITED_SHARE = 0.2
_PATIENCE_SECONDS = 90.0

Fault = Callable[[], Awaitable[object]]


class SoakSystem(NamedTuple):
    cluster: Cluster
    chance: random.Random
    users: dict[str, Dragoman]
    """Users that read the messages at the end. Their connections have no faults."""
    devices: dict[str, list[SoakDevice]]
    legacy: LegacyUser
    group: int

    @property
    def all_devices(self) -> list[SoakDevice]:
        return [device for devices in self.devices.values() for device in devices]


@asynccontextmanager
async def running(
    cluster: Cluster, seed: int, directory: Path, kinds: Sequence[DeviceKind]
) -> AsyncIterator[SoakSystem]:
    legacy = LegacyUser(cluster.edges[1])
    await legacy.start()
    proxies, devices = list[TcpProxy](), dict[str, list[SoakDevice]]()
    async with Dragoman(cluster.edges[0]) as ann, Dragoman(cluster.edges[1]) as bob:
        users = {"ann": ann, "bob": bob}
        for name, user in users.items():
            await user.register(name, "orange juice", username=name)
        group = (await ann.call("create", name="Fruit"))["chat"]
        await bob.call("join_link", link=(await ann.call("link", chat=group))["link"])
        try:
            for name, user in users.items():
                for number, (kind, edge) in enumerate(zip(kinds, cluster.edges, strict=True), 1):
                    proxies.append(proxy := TcpProxy(int(edge.rpartition(":")[2])))
                    await proxy.start()
                    device = SoakDevice(f"{name}-{kind.language}-{number}", kind, name, proxy, directory)
                    device.account = user.account
                    devices.setdefault(name, []).append(device)
                    await device.start()
            yield SoakSystem(cluster, random.Random(seed), users, devices, legacy, group)
        finally:
            for device in [one for some in devices.values() for one in some]:
                await device.kill()
            for proxy in proxies:
                await proxy.close()
            await legacy.close()


async def play(soak: SoakSystem, seconds: float, report: Callable[[str], None]) -> list[str]:
    """Runs the soak, and returns the faults that are found at its end."""
    end = time.monotonic() + seconds
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_talk(soak, end))
        tasks.create_task(_harm(soak, end, report))
    found = ["nothing was looked at"]
    end = time.monotonic() + _PATIENCE_SECONDS
    while found and time.monotonic() < end:
        await asyncio.sleep(1)
        found = await differences(soak)
    return found


async def _talk(soak: SoakSystem, end: float) -> None:
    number = 0
    while time.monotonic() < end:
        await asyncio.sleep(0.05)
        number += 1
        device = soak.chance.choice(soak.all_devices)
        sent = [one for one in device.texts.values() if one["do"] == "send"]
        own = [one for one in sent if f"{one['nonce']}-edit" not in device.texts]
        index = {text: index for index, text in device.shown(soak.group).items()}
        if soak.chance.random() < _EDITED_SHARE and own and own[0]["text"] in index:
            edit = {"chat": soak.group, "index": index[own[0]["text"]], "text": f"{own[0]['text']} edited"}
            device.write("edit", f"{own[0]['nonce']}-edit", **edit)
        else:
            device.write("send", f"{device.name}-{number}", chat=soak.group, text=f"{device.name} {number}")
        if index:
            device.read(soak.group, max(index.values()))
        if number % 20 == 0:
            user = soak.chance.choice([*soak.users.values()])
            soak.legacy.write(user.account, f"from afar {number}")


async def _harm(soak: SoakSystem, end: float, report: Callable[[str], None]) -> None:
    while time.monotonic() < end:
        await asyncio.sleep(soak.chance.uniform(0.5, 1.5) * FAULT_EVERY_SECONDS)
        name, fault = soak.chance.choice([*_faults(soak)])
        report(name)
        await fault()


def _faults(soak: SoakSystem) -> Iterator[tuple[str, Fault]]:
    for device in soak.all_devices:
        yield f"{device.name} is killed", partial(_restart, device)
        yield f"{device.name} sleeps", partial(device.suspend, _FROZEN_SECONDS)
        yield f"{device.name} is cut off", partial(_cut, device)
        yield f"{device.name} hears nothing", partial(_silence, device)
    for service in SERVICES:
        yield f"{service} is killed", partial(asyncio.to_thread, soak.cluster.kill, service)
        yield f"{service} ends in order", partial(asyncio.to_thread, soak.cluster.signal, service, SIGTERM)
        yield f"{service} is frozen", partial(_freeze, soak.cluster, service)


async def _restart(device: SoakDevice) -> None:
    await device.kill()
    await device.start()


async def _cut(device: SoakDevice) -> None:
    device.proxy.reset_peer()


async def _silence(device: SoakDevice) -> None:
    """Makes the connection silent until it is reset: the server gets messages, but its replies do not arrive."""
    device.proxy.down.time_out()
    await asyncio.sleep(_FROZEN_SECONDS)
    device.proxy.reset_peer()
    device.proxy.clear()


async def _freeze(cluster: Cluster, service: str) -> None:
    await asyncio.to_thread(cluster.signal, service, SIGSTOP)
    await asyncio.sleep(_FROZEN_SECONDS)
    await asyncio.to_thread(cluster.signal, service, SIGCONT)


# In the end


async def differences(soak: SoakSystem) -> list[str]:
    found = [fault for device in soak.all_devices for fault in device.faults]
    if soak.legacy.waiting:
        found.append(f"{soak.legacy.waiting} messages of the older protocol wait: {soak.legacy.last_error}")
    for name, user in soak.users.items():
        found += [f"{device.name} waits" for device in soak.devices[name] if await device.waiting()]
        for head in (await user.call("sync", timeline=0))["chats"]:
            fresh = await history(user, head["chat"])
            found += [f"chat {head['chat']} has holes"] if [*fresh] != [*range(1, len(fresh) + 1)] else []
            if head["chat"] == soak.group:
                found += _not_as_sent(soak, fresh)
            for device in soak.devices[name]:
                device.read(head["chat"], head["head"])
                found += _not_as_kept(device, head["chat"], fresh)
        if total := (await user.call("unread"))["total"]:
            found.append(f"{name} has {total} unread messages")
    return found


async def history(user: Dragoman, chat: int) -> dict[int, str]:
    found = dict[int, str]()
    more = True
    while more:
        page = await user.call("history", chat=chat, from_=len(found) + 1, dir="newer", count=200)
        found |= {one["index"]: text_of(one) for one in page["messages"]}
        more = page["more"]
    return found


def _not_as_kept(device: SoakDevice, chat: int, fresh: dict[int, str]) -> Iterator[str]:
    shown = device.shown(chat)
    for index, text in fresh.items():
        if shown.get(index, "") != text and (index in shown or (chat, index) not in device.gaps):
            yield f"{device.name} has {shown.get(index)!r} for message {index} of chat {chat}, which is {text!r}"


def _not_as_sent(soak: SoakSystem, fresh: dict[int, str]) -> Iterator[str]:
    """Yields faults of texts.

    Each text must be there once, as last edited, and after texts that its device has sent before.
    """
    counts, places = Counter(fresh.values()), {text: index for index, text in fresh.items()}
    for device in soak.all_devices:
        last = 0
        for nonce, command in device.texts.items():
            if command["do"] == "send":
                text = device.texts.get(f"{nonce}-edit", command)["text"]
                if counts[text] != 1:
                    yield f"{text!r} is there {counts[text]} times"
                elif places[text] < last:
                    yield f"{text!r} is before a text that was sent before it"
                last = max(last, places.get(text, 0))


async def soak_once(
    seconds: float, seed: int, directory: Path, report: Callable[[str], None], kinds: Sequence[DeviceKind] = KINDS
) -> list[str]:
    with Cluster(directory / "data", *SETTINGS) as cluster:
        async with running(cluster, seed, directory, kinds) as soak:
            found = await play(soak, seconds, report)
            texts = sum(len(device.texts) for device in soak.all_devices)
            report(f"{texts} texts and edits, {soak.legacy.acknowledged} messages of an older protocol, seed {seed}")
            return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sdk.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", type=Path, help="which keeps what the devices have reported")
    options = parser.parse_args()

    def report(line: str) -> None:
        print(line, flush=True)  # noqa: T201

    with tempfile.TemporaryDirectory() as temporary:
        directory = options.directory or Path(temporary)
        found = asyncio.run(soak_once(options.seconds, options.seed, directory, report))
    for line in found[:20]:
        report(line)
    report("FAILED" if found else "passed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
