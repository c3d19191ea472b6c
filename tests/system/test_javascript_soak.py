"""dragoman.js during faults that follow a seed. No message is lost, duplicated or left pending, and the devices show
the same as the server.

`TESTS_SOAK_STEPS` makes the test longer. `TESTS_SOAK_SEEDS` sets other seeds.
"""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.docs.test_types import TSC, errors
from tests.sdk.soak import SETTINGS
from tests.support.cluster import RELAXED, Cluster
from tests.support.commands import ROOT
from tests.support.javascript import NODE, WEBSOCKETS, needs_node
from tests.system.users import DialectUser

pytestmark = needs_node

PROGRAM = str(Path(__file__).with_name("javascript_soak.mjs"))
STEPS = int(os.environ.get("TESTS_SOAK_STEPS", "300"))
SEEDS = [int(seed) for seed in os.environ.get("TESTS_SOAK_SEEDS", "1").split()]
SECONDS = 240 + STEPS
KILLED = ("edge-1", "edge-2", "message", "session", "auth")
FROZEN_SECONDS = 1.0
NATIVE = ROOT / "clients" / "javascript" / "native"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A system in which tokens expire, and the time for a repeated refresh ends, within the duration of a soak."""
    with Cluster(tmp_path_factory.mktemp("soak") / "data", *RELAXED, *SETTINGS) as cluster:
        yield cluster


class Soak:
    """The program, and the faults that the test causes in the system."""

    def __init__(self, system: Cluster, seed: int, pat: DialectUser, frames: Path) -> None:
        self.system = system
        self.pat = pat
        self.chance = random.Random(seed)
        command = [NODE, *WEBSOCKETS, PROGRAM, str(seed), str(STEPS), str(pat.number), str(frames), *system.edges]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.wrong: list[str] = []
        self.texts = 0

    def until(self, word: str) -> str:
        """Reads lines until one begins with this word. Causes a fault in the system after each step of the program."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("wrong"):
                self.wrong.append(line)
            elif line.startswith("step") and self.texts:
                self.harm()
            elif line.startswith(word):
                return line
        raise AssertionError(f"the program has ended with {self.process.wait(10)}: {self.wrong}")

    def harm(self) -> None:
        name = self.chance.choice(KILLED)
        how = self.chance.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP))
        self.system.signal(name, how)
        if how == signal.SIGSTOP:
            time.sleep(FROZEN_SECONDS)
            self.system.signal(name, signal.SIGCONT)

    def talk(self, ann: int) -> None:
        self.texts += 1
        pat = self.pat
        pat.request(f"send_message|0|{pat.number}|{ann}|0|from Pat {self.texts}|{pat.token}", "send_message_succ|")

    def judge(self) -> Sequence[str]:
        assert self.process.stdin is not None
        self.process.stdin.write("judge\n")
        self.until("judged")
        return self.wrong


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_device_shows_what_the_server_has(system: Cluster, seed: int, tmp_path: Path) -> None:
    frames = tmp_path / "frames.json"
    with DialectUser(system.edges[1], "pipe") as pat:
        soak = Soak(system, seed, pat.register(), frames)
        try:
            ann = int(soak.until("begun").split()[1])
            soak.talk(ann)
            soak.until("quiet")
            assert not (wrong := soak.judge()), "".join(wrong)
        finally:
            soak.process.kill()
            soak.process.communicate()
    shown = json.loads(frames.read_text())
    assert len(shown) > 20
    if TSC.exists():
        check_types(shown, tmp_path)


def check_types(shown: Sequence[tuple[str, object]], directory: Path) -> None:
    """Checks that the replies and events of a real server have the types of native."""
    names = ", ".join(sorted({shape for shape, _ in shown}))
    lines = [f"({json.dumps(frame)}) satisfies {shape} & {{ [more: string]: unknown }};" for shape, frame in shown]
    file = directory / "frames.ts"
    file.write_text("\n".join([f'import type {{ {names} }} from "{NATIVE}";', *lines]))
    assert errors(file) == []
