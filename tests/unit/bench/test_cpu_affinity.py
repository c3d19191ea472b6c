import json
import os
import subprocess
import sys

import pytest

from bench.cli import for_the_load, for_the_system

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is only one core")

_PRINT_CORES = "import os, json; print(json.dumps(sorted(os.sched_getaffinity(0))))"


def _of_a_child() -> list[int]:
    cores: list[int] = json.loads(subprocess.check_output([sys.executable, "-c", _PRINT_CORES]))
    return cores


def test_the_system_and_its_load_share_no_core() -> None:
    everywhere = _of_a_child()
    with for_the_system():
        system = _of_a_child()
    with for_the_load():
        load = _of_a_child()
    assert load == everywhere[-1:]
    assert system == everywhere[:-1]
    assert _of_a_child() == everywhere
