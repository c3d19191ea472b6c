"""Tests how the dashboards of many processes are polled at the same time."""

import subprocess
import sys

from tests.support.commands import ROOT
from tests.support.waiting import WAIT_SECONDS

_FIRST_POLL = """
import http.client, sys, threading
from services.cli.top.poller import OpsAddress, poll
from shared.dashboard.history import DashboardData, PanelData, PanelGroupData
import msgspec

PROCESSES = 8
all_replied = threading.Barrier(PROCESSES)
panel = PanelData("t", "k", "u", False, "h", {"": [1.0]})
dashboard = DashboardData("edge", "edge-1", {}, [1.0], [PanelGroupData("g", [panel])])

class Reply:
    status = 200
    def read(self):
        all_replied.wait()
        return msgspec.json.encode(dashboard)

class Connection:
    def __init__(self, *address, **options): pass
    def request(self, *arguments): pass
    def getresponse(self): return Reply()
    def close(self): pass

http.client.HTTPConnection = Connection
sys.setswitchinterval(1e-6)
states = poll([OpsAddress(str(number), "http://h:1") for number in range(PROCESSES)])
assert all(state.dashboard == dashboard for state in states), states
"""
"""A program for a new interpreter. Its first dashboards arrive at the same moment."""


def test_the_first_dashboards_may_arrive_at_once() -> None:
    for _ in range(3):
        subprocess.run([sys.executable, "-c", _FIRST_POLL], cwd=ROOT, check=True, timeout=WAIT_SECONDS)
