"""A service as a process."""

import os
import signal
import subprocess
import sys

import pytest

_SERVICE = """
import sys
from shared.process import run
from shared.settings import Settings
from shared.unprepared import Unprepared

async def serve(settings, stopping):
    if sys.argv[1] == "refuse":
        raise Unprepared("first do this")
    if sys.argv[1] == "fail":
        raise ValueError("a bug")
    print("serving", flush=True)
    await stopping.wait()

sys.exit(run("auth", Settings(), serve))
"""


def start(how: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", _SERVICE, how], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(number: signal.Signals) -> None:
    with start("serve") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "serving\n"
        os.kill(process.pid, number)
        assert '"event": "stopped"' in process.stdout.read()
    assert process.returncode == 0


@pytest.mark.parametrize(("how", "said", "traceback"), [("refuse", "first do this", False), ("fail", "a bug", True)])
def test_a_failure_is_told(how: str, said: str, traceback: bool) -> None:
    with start(how) as process:
        output, _ = process.communicate()
    assert process.returncode == 1
    assert said in output
    assert ("Traceback" in output) is traceback
