"""Tests the compiled modules of the image, with DRAGOMAN_TEST_COMPILED=1: whether they run, plain TCP, and traces.

test_conformance.py tests everything else with them.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from local.ports import free_ports
from tests.support.cluster import RELAXED, Cluster
from tests.support.collector import Collector
from tests.system.compiled import MODULES, WANTED, from_
from tests.system.test_plain_tcp import First
from tests.system.users import TcpUser

pytestmark = [
    pytest.mark.skipif(not WANTED, reason="takes minutes: DRAGOMAN_TEST_COMPILED=1 asks for it"),
    pytest.mark.xdist_group("postgresql"),
    pytest.mark.timeout(900),
]


def test_the_running_modules_are_compiled(packages: Path) -> None:
    show = "import sys, importlib as i; print(*(i.import_module(name).__file__ for name in sys.argv[1:]))"
    command = ["env", f"PYTHONPATH={packages}", sys.executable, "-P", "-c", show, *MODULES]
    files = subprocess.run(command, cwd=packages, capture_output=True, text=True, check=True).stdout.split()
    assert len(files) == len(MODULES)
    assert all(file.startswith(str(packages)) and file.endswith(".so") for file in files)


def test_a_process_of_auth_loads_no_compiled_modules(packages: Path) -> None:
    start = """
import sys
import shared.process
import services.cli.processes
shared.process.run = lambda *_: None
try:
    services.cli.processes.auth.main([])
finally:
    print(*(module.__file__ for name, module in sys.modules.items() if name.startswith(("services.", "shared."))))
"""
    command = ["env", f"PYTHONPATH={packages}", sys.executable, "-P", "-c", start]
    files = subprocess.run(command, cwd=packages, capture_output=True, text=True, check=True).stdout.split()
    assert str(packages / "shared/bus/client.py") in files
    assert not any(file.endswith(".so") for file in files)


def test_plain_tcp_and_traces(packages: Path, tmp_path: Path, collector: Collector) -> None:
    options = (*RELAXED, "--tcp-port", str(free_ports(2)), "--set", f"tracing.endpoint={collector.endpoint}")
    with (
        Cluster(tmp_path / "data", *options, program=from_(packages)) as cluster,
        TcpUser(cluster.tcp[0]) as sender,
        TcpUser(cluster.tcp[1]) as recipient,
    ):
        one, two = First(sender), First(recipient)
        sender.send(one.text("by plain TCP"))
        assert two.hears("by plain TCP") == one.text("by plain TCP")
        assert collector.spans(lambda seen: {"commit", "fan out"} <= {span.name for span in seen})
